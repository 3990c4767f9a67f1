package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/rules"
)

// longestNote bounds what is said of a version, in characters.
const longestNote = 2_000

// Version is the text of a pack as somebody wrote it. Its hash names it: another
// character makes another version.
type Version struct {
	Hash        string     `json:"hash" db:"hash"`
	Model       string     `json:"model" db:"model"`
	Text        string     `json:"text,omitempty" db:"text" doc:"YAML; absent in lists"`
	Note        string     `json:"note" db:"note"`
	Author      string     `json:"author" db:"author"`
	AuthorID    string     `json:"-" db:"author_id"`
	CreatedAt   time.Time  `json:"createdAt" db:"created_at"`
	State       string     `json:"state" db:"state" enum:"draft,published,retired" doc:"published = in force, retired = was in force"`
	PublishedAt *time.Time `json:"publishedAt" db:"published_at"`
	Approver    string     `json:"approver,omitempty" db:"approver" doc:"the second person"`
	ApproverID  string     `json:"-" db:"approver_id"`
	Approval    string     `json:"approval,omitempty" db:"approval" doc:"what he said"`
	ReportID    *uuid.UUID `json:"reportId" db:"report_id" doc:"the back-test with which it was published"`
	RetiredAt   *time.Time `json:"retiredAt" db:"retired_at"`
}

const versionColumns = `hash, model, text, note, author, author_id, created_at, state, published_at, approver, approver_id, approval, report_id, retired_at`

const addVersionSQL = `INSERT INTO rule_version (hash, model, text, note, author, author_id, created_at)
VALUES (@hash, @model, @text, @note, @author, @authorID, @now) ON CONFLICT (hash) DO NOTHING RETURNING ` + versionColumns

// Draft keeps a text; all its faults at once are a problem, by line and column. A
// text that is kept already is given back as it is: it stays its author's.
func Draft(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, text, note string) (Version, error) {
	pack, err := rules.Parse("pack.yaml", []byte(text))
	if faults, ok := errors.AsType[rules.Errors](err); ok {
		return Version{}, faulty(faults)
	}
	if err != nil {
		return Version{}, problem.New(problem.Invalid, "%v", err)
	}
	if utf8.RuneCountInString(note) > longestNote {
		return Version{}, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/note", Detail: fmt.Sprintf("has more than %d characters", longestNote)})
	}
	v, err := postgres.One[Version](ctx, db, addVersionSQL, pgx.NamedArgs{"hash": pack.Hash, "model": pack.Model, "text": text, "note": note,
		"author": who.Name, "authorID": personOf(who), "now": now})
	if problem.Of(err) == problem.NotFound {
		v, err := GetVersion(ctx, db, pack.Hash)
		if err == nil && v.Text != text { // a digest of 64 bits: somebody has looked for it
			err = problem.New(problem.Conflict, "another text has this hash already")
		}
		return v, err
	}
	if err != nil {
		return v, fmt.Errorf("keep a version of the rules of %s: %w", pack.Model, err)
	}
	return v, machines.Audit(ctx, db, now, who, "rule_version", auditID(v.Hash), nil, nil, "added", nil, v)
}

func faulty(faults rules.Errors) error {
	fields := make([]problem.Field, 0, len(faults))
	for _, f := range faults {
		fields = append(fields, problem.Field{Pointer: "/text", Detail: fmt.Sprintf("%d:%d: %s", f.Line, f.Col, f.Text)})
	}
	return problem.New(problem.Invalid, "%d faults in the rule pack, see errors", len(faults)).WithZH("规则包有 %d 处错误", len(faults)).WithFields(fields...)
}

// auditID is the id under which the audit log knows a version.
func auditID(hash string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte("rule_version:"+hash)) }

// personOf tells people apart who may have one name.
func personOf(who identity.Principal) string {
	switch {
	case who.UserID != uuid.Nil:
		return "user:" + who.UserID.String()
	case who.TokenID != uuid.Nil:
		return "token:" + who.TokenID.String()
	}
	return "name:" + who.Name
}

// WrittenBy says whether somebody is the author, who cannot be the second person.
func (v Version) WrittenBy(who identity.Principal) bool {
	return v.AuthorID == personOf(who) || strings.EqualFold(v.Author, who.Name)
}

const getVersionSQL = `SELECT ` + versionColumns + ` FROM rule_version WHERE hash = @hash`

// GetVersion reads a version with its text.
func GetVersion(ctx context.Context, db postgres.DB, hash string) (Version, error) {
	v, err := postgres.One[Version](ctx, db, getVersionSQL, pgx.NamedArgs{"hash": hash})
	if problem.Of(err) == problem.NotFound {
		return v, problem.New(problem.NotFound, "no version of the rules has the hash %q", hash)
	}
	if err != nil {
		return v, fmt.Errorf("read version %s of the rules: %w", hash, err)
	}
	return v, nil
}

const versionsSQL = `SELECT hash, model, '' AS text, note, author, author_id, created_at, state, published_at, approver, approver_id, approval, report_id, retired_at
FROM rule_version WHERE (@model = '' OR model = @model) AND (@state = '' OR state = @state) ORDER BY created_at DESC, hash LIMIT @limit`

// mostVersions bounds the list.
const mostVersions = 500

// Versions lists versions without their texts, newest first.
func Versions(ctx context.Context, db postgres.DB, model, state string) ([]Version, error) {
	list, err := postgres.All[Version](ctx, db, versionsSQL, pgx.NamedArgs{"model": model, "state": state, "limit": mostVersions})
	if err != nil {
		return nil, fmt.Errorf("list versions of the rules: %w", err)
	}
	return list, nil
}
