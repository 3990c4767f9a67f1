package maintenance

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"image/png"
	"path"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

const (
	largestAttachment = 15 << 20 // bytes
	longestName       = 120      // characters
)

// attachedTo finds whose a thing is that a picture can belong to.
var attachedTo = []struct{ entity, sql string }{
	{"case", `SELECT machine_id, customer_id FROM service_case WHERE id = @id`},
	{"work_order", `SELECT machine_id, customer_id FROM work_order WHERE id = @id`},
	{"checklist_item", `SELECT o.machine_id, o.customer_id FROM checklist_item i JOIN work_order o ON o.id = i.work_order_id WHERE i.id = @id`},
	{"machine", `SELECT id AS machine_id, customer_id FROM machine WHERE id = @id`},
	{"reading", `SELECT machine_id, customer_id FROM reading WHERE id = @id`},
}

type belongs struct {
	MachineID  *uuid.UUID `db:"machine_id"`
	CustomerID *uuid.UUID `db:"customer_id"`
}

const insertAttachmentSQL = `INSERT INTO attachment (id, customer_id, machine_id, entity, entity_id, name, media_type, bytes, created_at, created_by)
VALUES (@id, @customer, @machine, @entity, @entity_id, @name, @media_type, @bytes, @now, @actor)`

// Attach keeps a JPEG or PNG picture of 15 MiB at most with a case, work order,
// checklist item, machine or reading. What the bytes are is read from the bytes:
// mediaType may be "", and is refused when it says something else. Nothing is
// taken out of the picture.
func Attach(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, entity string, entityID uuid.UUID, name, mediaType string, content []byte) (Attachment, error) {
	is, err := sniff(content)
	if err != nil {
		return Attachment{}, err
	}
	if mediaType != "" && mediaType != is {
		return Attachment{}, refuse(problem.Invalid, "the picture is %s and not what it was sent as", "图片实际格式为 %s，与声明不符", is)
	}
	owner, err := ownerOf(ctx, db, entity, entityID)
	if err != nil {
		return Attachment{}, err
	}
	a := Attachment{ID: postgres.NewID(), MachineID: owner.MachineID, Entity: entity, EntityID: entityID, Name: harmless(name), MediaType: is, Bytes: content, CreatedAt: now, CreatedBy: who.Name}
	if _, err := postgres.Run(ctx, db, insertAttachmentSQL, pgx.NamedArgs{"id": a.ID, "customer": owner.CustomerID, "machine": a.MachineID, "entity": entity,
		"entity_id": entityID, "name": a.Name, "media_type": is, "bytes": content, "now": now, "actor": who.Name}); err != nil {
		return Attachment{}, fmt.Errorf("keep a picture of %s %s: %w", entity, entityID, postgres.Translate(err))
	}
	after := map[string]any{"entity": entity, "entityId": entityID, "name": a.Name, "mediaType": is, "bytes": len(content)}
	return a, machines.Audit(ctx, db, now, who, "attachment", a.ID, a.MachineID, owner.CustomerID, "added", nil, after)
}

// sniff says what kind of picture some bytes are; they must at least have a header
// that can be read.
func sniff(content []byte) (string, error) {
	if len(content) > largestAttachment {
		return "", refuse(problem.TooLarge, "a picture has 15 MiB at most", "图片不能超过 15 MiB")
	}
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xd8\xff")):
		if _, err := jpeg.DecodeConfig(bytes.NewReader(content)); err == nil {
			return "image/jpeg", nil
		}
	case bytes.HasPrefix(content, []byte("\x89PNG\r\n\x1a\n")):
		if _, err := png.DecodeConfig(bytes.NewReader(content)); err == nil {
			return "image/png", nil
		}
	}
	return "", refuse(problem.Invalid, "this is no JPEG or PNG picture", "请上传 JPEG 或 PNG 图片")
}

func ownerOf(ctx context.Context, db postgres.DB, entity string, id uuid.UUID) (belongs, error) {
	for _, to := range attachedTo {
		if to.entity != entity {
			continue
		}
		owner, err := postgres.One[belongs](ctx, db, to.sql, pgx.NamedArgs{"id": id})
		if problem.Of(err) == problem.NotFound {
			return belongs{}, notFound(strings.ReplaceAll(entity, "_", " "))
		}
		return owner, err
	}
	return belongs{}, refuse(problem.Invalid, "a picture belongs to a case, work order, checklist item, machine or reading", "图片须属于服务单、工单、检查项、设备或读数")
}

// harmless makes a file name that can stand in a list: no folders, nothing unprintable.
func harmless(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, ""), `\`, "/")))
	if name == "" || name == "." || name == "/" {
		return "photo"
	}
	return clip(name, longestName)
}

const readAttachmentSQL = `SELECT id, machine_id, entity, entity_id, name, media_type, bytes, created_at, created_by FROM attachment WHERE id = @id`

// ReadAttachment reads a picture with its bytes.
func ReadAttachment(ctx context.Context, db postgres.DB, id uuid.UUID) (Attachment, error) {
	a, err := postgres.One[Attachment](ctx, db, readAttachmentSQL, pgx.NamedArgs{"id": id})
	if problem.Of(err) == problem.NotFound {
		return a, notFound("picture")
	}
	return a, err
}
