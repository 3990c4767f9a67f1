package maintenance

import (
	"context"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
)

const (
	longestDescription = 4000 // characters
	longestTitle       = 40
)

// OpenRequest takes a request by phone or portal (报修): down or working with a
// fault, pouring now, place and operator's phone first. It opens the case of its
// machine and failure mode, or adds to the one that is open.
func OpenRequest(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, r Request) (Case, error) {
	r.Description, r.DescriptionEN, r.OperatorPhone = strings.TrimSpace(r.Description), strings.TrimSpace(r.DescriptionEN), strings.TrimSpace(r.OperatorPhone)
	if err := checkRequest(r); err != nil {
		return Case{}, err
	}
	m, err := machines.Lock(ctx, db, r.MachineID)
	if err != nil {
		return Case{}, err
	}
	if m.OperatingStatus == machines.Scrapped {
		return Case{}, refuse(problem.Conflict, "the machine is scrapped", "该设备已报废")
	}
	f, err := requestFinding(now, r)
	if err != nil {
		return Case{}, err
	}
	if f, _, err = machines.ApplyFinding(identity.With(ctx, who), db, now, machines.FindingChange{Change: machines.FindingOpened, Finding: f}); err != nil {
		return Case{}, err
	}
	c, created, err := openCase(ctx, db, now, who, r.draft(f))
	if err != nil {
		return Case{}, err
	}
	if err := machines.AttachFinding(ctx, db, f.ID, c.ID); err != nil {
		return Case{}, err
	}
	if !created {
		if c, err = joinRequest(ctx, db, now, who, c, r); err != nil {
			return Case{}, err
		}
	}
	cause := caseEvent(now, who, c)
	cause.Text, cause.TextEN = "报修："+r.title().ZH, "Requested: "+r.title().EN
	return c, setHealth(ctx, db, now, m.ID, cause, &f)
}

func checkRequest(r Request) error {
	var missing []problem.Field
	if r.Description == "" || max(utf8.RuneCountInString(r.Description), utf8.RuneCountInString(r.DescriptionEN)) > longestDescription {
		missing = append(missing, problem.Field{Pointer: "/description", Detail: "what the machine does or does not, at most 4000 characters"})
	}
	if r.OperatorPhone == "" {
		missing = append(missing, problem.Field{Pointer: "/operatorPhone", Detail: "a phone number that is answered at the machine"})
	}
	if (r.Latitude == nil) != (r.Longitude == nil) {
		missing = append(missing, problem.Field{Pointer: "/longitude", Detail: "a position has latitude and longitude"})
	}
	if missing == nil {
		return nil
	}
	return refuse(problem.Invalid, "something is missing, see errors", "请说明故障情况并留下现场电话").WithFields(missing...)
}

// reported is the failure mode of a request that does not know its own.
const reported = "reported"

func (r Request) severity() machines.Severity {
	if r.Down {
		return machines.Alarm
	}
	return machines.Warning
}

// draft is the case of a request, with its finding's words.
func (r Request) draft(f machines.Finding) Case {
	c := caseOf(f)
	c.Origin, c.Severity, c.MachineDown, c.PouringNow = "request", r.severity(), r.Down, r.PouringNow
	c.Latitude, c.Longitude, c.OperatorPhone = r.Latitude, r.Longitude, r.OperatorPhone
	c.Description, c.DescriptionEN = r.words().ZH, r.words().EN
	if r.FailureMode == "" {
		c.FailureMode = reported
	}
	return c
}

// words are who said what.
func (r Request) words() machines.Text {
	said := inBoth(r.Description, r.DescriptionEN)
	if r.CallerName == "" {
		return said
	}
	return machines.Text{ZH: r.CallerName + "：" + said.ZH, EN: machines.InLanguage("en", r.CallerName, r.CallerNameEN) + ": " + said.EN}
}

// title is the beginning of the description, in one line.
func (r Request) title() machines.Text {
	line := func(text string) string { return clip(strings.Join(strings.Fields(text), " "), longestTitle) }
	said := inBoth(r.Description, r.DescriptionEN)
	return machines.Text{ZH: line(said.ZH), EN: line(said.EN)}
}

// requestFinding is what a person saw, as evidence beside telemetry's.
func requestFinding(now time.Time, r Request) (machines.Finding, error) {
	mode := r.FailureMode
	if mode == "" {
		mode = reported
	}
	evidence, err := json.Marshal(map[string]any{"kind": "request", "since": now, "text": r.Description})
	if err != nil {
		return machines.Finding{}, err
	}
	text := r.title()
	title := machines.Text{ZH: "报修（带故障作业）：" + text.ZH, EN: "Reported, works with a fault: " + text.EN}
	if r.Down {
		title = machines.Text{ZH: "报修（停机）：" + text.ZH, EN: "Reported down: " + text.EN}
	}
	return machines.Finding{MachineID: r.MachineID, Rule: "request:" + mode, FailureMode: mode, Title: title.ZH, TitleEN: title.EN, Severity: r.severity(),
		Source: "request", State: "open", OpenedAt: now, DetectedAt: now, UpdatedAt: now, Evidence: evidence}, nil
}

// joinRequest adds a request to the case that is open for it already: the caller
// need not explain anything twice, and a machine that has gone down comes first.
func joinRequest(ctx context.Context, db postgres.DB, now time.Time, who identity.Principal, c Case, r Request) (Case, error) {
	after := c
	after.MachineDown = c.MachineDown || r.Down
	after.PouringNow = r.PouringNow
	after.OperatorPhone = r.OperatorPhone
	after.Severity = graver(c.Severity, r.severity())
	if r.Latitude != nil {
		after.Latitude, after.Longitude = r.Latitude, r.Longitude
	}
	if after.Description == "" {
		after.Description, after.DescriptionEN = r.words().ZH, r.words().EN
	}
	c, err := changeCase(ctx, db, now, who, "requested", c, after)
	if err != nil {
		return Case{}, err
	}
	if err := noteCase(ctx, db, now, who, c, machines.Text{ZH: "再次报修：" + r.words().ZH, EN: "reported again: " + r.words().EN}); err != nil {
		return Case{}, err
	}
	if c.State == AwaitingCallback {
		if c, err = stepCase(ctx, db, now, who, c, InWork, machines.Text{ZH: "客户再次报修", EN: "the customer reports it again"}, nil); err != nil {
			return Case{}, err
		}
	}
	if !c.MachineDown {
		return c, nil
	}
	return c, hurry(ctx, db, now, who, c)
}
