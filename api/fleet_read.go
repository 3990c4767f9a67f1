package api

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/aemp"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

const (
	recent     = 2 * time.Hour // before a machine's newest instant: what it said of its signals then counts as its state
	recentRows = 500
	seriesRows = 100_000 // read for one series
	seriesPage = 1_000   // values on a page of it
)

// readFleet answers one address.
func (s *Server) readFleet(ctx context.Context, u *url.URL) (fleetAnswer, error) {
	p, err := readFleetPath(u)
	if err != nil {
		return fleetAnswer{}, err
	}
	out := fleetAnswer{fleet: aemp.Fleet{SnapshotTime: s.Clock.Now().UTC().Truncate(time.Second)}}
	if p.machine {
		return s.readEquipment(ctx, p, out)
	}
	type page struct {
		rows  []machines.Row
		pages int
	}
	got, err := read(ctx, s, func(db postgres.DB) (got page, err error) {
		got.rows, got.pages, err = machines.FleetPage(ctx, db, p.page, aemp.PageSize)
		return got, err
	})
	if err != nil {
		return out, err
	}
	if p.page > got.pages {
		return out, nothingThere()
	}
	for _, row := range got.rows {
		e, err := s.equipment(ctx, row)
		if err != nil {
			return out, err
		}
		out.fleet.Equipment = append(out.fleet.Equipment, e)
	}
	out.fleet.Links = pageLinks(p, got.pages)
	return out, nil
}

func pageLinks(p fleetPath, pages int) []aemp.Link {
	at := func(n int) string { return p.base + "/" + strconv.Itoa(n) }
	links := []aemp.Link{{Rel: "self", Href: at(p.page)}}
	if p.page > 1 {
		links = append(links, aemp.Link{Rel: "prev", Href: at(p.page - 1)})
	}
	if p.page < pages {
		links = append(links, aemp.Link{Rel: "next", Href: at(p.page + 1)})
	}
	return append(links, aemp.Link{Rel: "last", Href: at(pages)})
}

func (s *Server) readEquipment(ctx context.Context, p fleetPath, out fleetAnswer) (fleetAnswer, error) {
	row, err := read(ctx, s, func(db postgres.DB) (machines.Row, error) {
		if p.byNumber {
			return machines.ByNumber(ctx, db, p.num)
		}
		return machines.ByNameplate(ctx, db, p.maker, p.model, p.num)
	})
	if err != nil {
		return out, err
	}
	if p.metric != "" {
		return s.readSeries(ctx, p, row, out)
	}
	e, err := s.equipment(ctx, row)
	out.fleet.Equipment = []aemp.Equipment{e}
	out.fleet.Links = []aemp.Link{{Rel: "self", Href: p.base}}
	return out, err
}

func header(row machines.Row) aemp.Header {
	h := aemp.Header{OEMName: row.Manufacturer, Model: row.ModelName, EquipmentID: row.Key, SerialNumber: row.Serial}
	if row.HandedOverOn != nil {
		h.InstalledAt = *row.HandedOverOn
	}
	return h
}

// equipment is one machine as it said last: the newest value of each signal, its
// hours as we count them, and its active trouble codes.
func (s *Server) equipment(ctx context.Context, row machines.Row) (aemp.Equipment, error) {
	e := aemp.Equipment{Header: header(row)}
	values, err := s.newest(ctx, row)
	if err != nil {
		return e, err
	}
	if row.OperatingHours != nil && row.LastSeenAt != nil {
		values[machines.OperatingHours] = aemp.Value{Signal: machines.OperatingHours, At: row.LastSeenAt.UTC(), Value: *row.OperatingHours}
	}
	for _, name := range aemp.Signals() {
		if v, ok := values[name]; ok {
			e.Values = append(e.Values, v)
		}
	}
	codes, err := read(ctx, s, func(db postgres.DB) (machines.Page[machines.TroubleCode], error) {
		return machines.TroubleCodes(ctx, db, machines.TroubleFilter{MachineID: &row.ID, State: "active", Limit: aemp.PageSize})
	})
	for _, c := range codes.Items {
		e.Codes = append(e.Codes, faultCode(c))
	}
	return e, err
}

func faultCode(c machines.TroubleCode) aemp.Code {
	severity := map[string]string{"critical": "High", "warning": "Medium", "advice": "Low"}[c.Severity]
	source := "OEM"
	if c.Protocol == "j1939" {
		source = "J1939"
	}
	return aemp.Code{Identifier: c.Code, Description: machines.InLanguage("en", c.Description, c.DescriptionEN), Severity: severity, Source: source, At: c.LastSeenAt.UTC()}
}

// newest gives the newest good value of each signal of the standard.
func (s *Server) newest(ctx context.Context, row machines.Row) (map[string]aemp.Value, error) {
	out := map[string]aemp.Value{}
	if s.History == nil || row.LastSeenAt == nil {
		return out, nil
	}
	ref := history.Ref{Key: row.Key, No: row.No}
	end := row.LastSeenAt.Add(time.Microsecond)
	rows, err := s.History.Rows(ctx, ref, end.Add(-recent), end, recentRows)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		for _, v := range rows[i].Values {
			if v.Quality <= observation.Unmapped {
				out[v.Signal] = aemp.Value{Signal: v.Signal, At: rows[i].At.UTC(), Value: v.Value}
			}
		}
	}
	return out, nil
}

// readSeries gives a page of one machine's values, or codes, in [from, to).
func (s *Server) readSeries(ctx context.Context, p fleetPath, row machines.Row, out fleetAnswer) (fleetAnswer, error) {
	element, signals, _ := aemp.Series(p.metric)
	out.series = element
	e := aemp.Equipment{Header: header(row)}
	var err error
	if len(signals) == 0 {
		e.Codes, err = s.codesBetween(ctx, row, p.from, p.to)
	} else {
		e.Values, err = s.valuesBetween(ctx, row, signals, p.from, p.to)
	}
	if err != nil {
		return out, err
	}
	n := len(e.Values) + len(e.Codes)
	pages := max((n+seriesPage-1)/seriesPage, 1)
	if p.page > pages {
		return out, nothingThere()
	}
	e.Values, e.Codes = slicePage(e.Values, p.page), slicePage(e.Codes, p.page)
	out.fleet.Equipment = []aemp.Equipment{e}
	out.fleet.Links = pageLinks(p, pages)
	return out, nil
}

func slicePage[T any](list []T, page int) []T {
	from := min((page-1)*seriesPage, len(list))
	return list[from:min(from+seriesPage, len(list))]
}

func (s *Server) valuesBetween(ctx context.Context, row machines.Row, signals []string, from, to time.Time) (list []aemp.Value, err error) {
	if s.History == nil {
		return nil, nil
	}
	rows, err := s.History.Rows(ctx, history.Ref{Key: row.Key, No: row.No}, from, to, seriesRows)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		for _, name := range signals {
			if v, ok := rows[i].Get(name); ok {
				list = append(list, aemp.Value{Signal: name, At: rows[i].At.UTC(), Value: v})
			}
		}
	}
	return list, nil
}

func (s *Server) codesBetween(ctx context.Context, row machines.Row, from, to time.Time) (list []aemp.Code, err error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[machines.TroubleCode], error) {
		return machines.TroubleCodes(ctx, db, machines.TroubleFilter{MachineID: &row.ID, Limit: 500})
	})
	for _, c := range page.Items {
		one := faultCode(c)
		one.At = c.FirstSeenAt.UTC()
		if !one.At.Before(from) && one.At.Before(to) {
			list = append(list, one)
		}
	}
	return list, err
}
