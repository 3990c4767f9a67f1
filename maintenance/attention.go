package maintenance

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

type oddMachine struct {
	Attention
	At       *time.Time `db:"at"`
	Severity string     `db:"severity"`
}

// One line for a machine: the first of these reasons that holds. A lock, a shut
// site and a tunnel explain a silence; a silence explains nothing.
const attentionSQL = `SELECT kind, machine_id, machine_name, machine_name_en, at, severity, text, text_en FROM (
  SELECT DISTINCT ON (machine_id) rank, kind, machine_id, machine_name, machine_name_en, at, severity, text, text_en FROM (
	SELECT 1 AS rank, 'sensor_fault' AS kind, m.id AS machine_id, m.name AS machine_name, m.name_en AS machine_name_en,
		f.opened_at AS at, f.severity, f.title AS text, f.title_en AS text_en
	FROM finding f JOIN machine m ON m.id = f.machine_id
	WHERE f.state = 'open' AND f.failure_mode = @sensor AND m.health NOT IN ('third_state','faulty')
  UNION ALL
	SELECT 2, 'no_device', m.id, m.name, m.name_en, f.opened_at, f.severity, f.title, f.title_en
	FROM finding f JOIN machine m ON m.id = f.machine_id
	WHERE f.state = 'open' AND f.severity <> 'info' AND f.source IN ('daily_check','reading','inspection') AND NOT m.has_device
  UNION ALL
	SELECT 3, 'locked', m.id, m.name, m.name_en, NULL, '', m.operating_note, m.operating_note_en
	FROM machine m WHERE m.operating_status = 'locked'
  UNION ALL
	SELECT 4, 'site_shut', m.id, m.name, m.name_en, s.shut_until, '', s.shut_reason, s.shut_reason_en
	FROM machine m JOIN site s ON s.id = m.site_id
	WHERE s.shut_until > @now AND m.operating_status IN ('working','shut_down')
  UNION ALL
	SELECT 5, 'no_coverage', m.id, m.name, m.name_en, m.last_seen_at, '', '', ''
	FROM machine m WHERE m.connectivity = 'no_coverage' AND m.has_device AND m.operating_status = 'working'
  UNION ALL
	SELECT 6, 'silent', m.id, m.name, m.name_en, m.last_seen_at, '', '', ''
	FROM machine m WHERE m.connectivity = 'silent' AND m.has_device AND m.operating_status = 'working'
  ) reasons ORDER BY machine_id, rank, at
) lines ORDER BY rank, machine_name, machine_id LIMIT 100`

// attention lists machines whose state is not what it seems.
func attention(ctx context.Context, db postgres.DB, now time.Time) ([]Attention, error) {
	odd, err := postgres.All[oddMachine](ctx, db, attentionSQL, pgx.NamedArgs{"now": now, "sensor": machines.SensorFailure})
	if err != nil {
		return nil, fmt.Errorf("list machines whose state is not what it seems: %w", err)
	}
	list := make([]Attention, len(odd))
	for i, o := range odd {
		list[i] = o.line(now)
	}
	return list, nil
}

// line says in words what is the matter, and what not.
func (o oddMachine) line(now time.Time) Attention {
	a := o.Attention
	a.Class = "info"
	given := machines.Text{ZH: machines.InLanguage("zh", a.Text, a.TextEN), EN: machines.InLanguage("en", a.Text, a.TextEN)}
	said := given
	switch o.Kind {
	case "no_device":
		a.Class = o.Severity
		if o.Severity == string(machines.Alarm) {
			a.Class = "faulty"
		}
	case "locked":
		if said.ZH == "" {
			said = machines.Text{ZH: "出租方锁机，非故障，不派工", EN: "locked by the lessor, not a fault, no visit"}
		}
	case "site_shut":
		day := localDay(*o.At)
		said = machines.Text{ZH: "停工至" + day.ZH + "，保养计时暂停", EN: "shut till " + day.EN + ", service clock paused"}
		if given.ZH != "" {
			said = machines.Text{ZH: given.ZH + "，" + said.ZH, EN: given.EN + ", " + said.EN}
		}
	case "no_coverage":
		said = machines.Text{ZH: "无信号工地，不派工", EN: "no coverage here, no visit"}
		if o.At != nil {
			at := clockFrom(now, *o.At)
			said = machines.Text{ZH: "无信号工地，最后数据 " + at.ZH + "，不派工", EN: "no coverage here, last data " + at.EN + ", no visit"}
		}
	case "silent":
		a.Class = "advice"
		said = machines.Text{ZH: "一直没有数据，先查终端", EN: "never heard of, check the device first"}
		if o.At != nil {
			at := clockFrom(now, *o.At)
			said = machines.Text{ZH: at.ZH + " 起没有数据，原因不明，先查终端", EN: "no data since " + at.EN + ", cause unknown, check the device first"}
		}
	}
	a.Text, a.TextEN = said.ZH, said.EN
	return a
}
