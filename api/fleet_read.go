package api

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/telemetry/aemp"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

const (
	recent     = 2 * time.Hour // before a machine's newest instant: what it said of its signals then counts as its state
	recentRows = 2_000         // of a machine that says more than that, a shorter time counts
	seriesRows = 10_000        // read for one count of pages; what is behind them is reached by the last one's link
	seriesPage = 1_000         // values on a page of it
	codesRead  = 20_000        // of one machine; one that has more is said so
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
	codes, err := s.codes(ctx, row, "active")
	for _, c := range codes {
		e.Codes = append(e.Codes, faultCode(c))
	}
	return e, err
}

// codes are all trouble codes of a machine in a state, the newest first.
func (s *Server) codes(ctx context.Context, row machines.Row, state string) ([]machines.TroubleCode, error) {
	return read(ctx, s, func(db postgres.DB) (list []machines.TroubleCode, err error) {
		f := machines.TroubleFilter{MachineID: &row.ID, State: state, Limit: 500}
		for {
			page, err := machines.TroubleCodes(ctx, db, f)
			if err != nil {
				return nil, err
			}
			list = append(list, page.Items...)
			switch f.Cursor = page.Next; {
			case page.Next == "":
				return list, nil
			case len(list) >= codesRead:
				return nil, problem.New(problem.TooLarge, "machine %s has more than %d trouble codes", row.Key, codesRead)
			}
		}
	})
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
	var rows []observation.Observation
	for span := recent; ; span /= 4 {
		var err error
		if rows, err = s.History.Rows(ctx, ref, end.Add(-span), end, recentRows); err != nil {
			return nil, err
		}
		if len(rows) < recentRows || span < time.Second {
			break // the newest are among them
		}
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
	var onward time.Time // where what was not read begins, zero where all was
	if len(signals) == 0 {
		e.Codes, err = s.codesBetween(ctx, row, p.from, p.to)
	} else {
		e.Values, onward, err = s.valuesBetween(ctx, row, signals, p.from, p.to)
	}
	if err != nil {
		return out, err
	}
	n := len(e.Values) + len(e.Codes)
	pages := max((n+seriesPage-1)/seriesPage, 1)
	switch {
	case p.page > pages && !onward.IsZero():
		return out, problem.New(problem.Invalid, "there is more than these %d pages: it begins where the link next of the last of them leads", pages)
	case p.page > pages:
		return out, nothingThere()
	}
	e.Values, e.Codes = slicePage(e.Values, p.page), slicePage(e.Codes, p.page)
	out.fleet.Equipment = []aemp.Equipment{e}
	out.fleet.Links = pageLinks(p, pages)
	if !onward.IsZero() {
		out.fleet.Links = onwardLinks(p, pages, onward)
	}
	return out, nil
}

// onwardLinks lead from the last page to what follows on it, by its time. Which page
// is the last of all is not known then.
func onwardLinks(p fleetPath, pages int, onward time.Time) []aemp.Link {
	links := slices.DeleteFunc(pageLinks(p, pages), func(l aemp.Link) bool { return l.Rel == "last" })
	if p.page == pages {
		links = append(links, aemp.Link{Rel: "next", Href: p.upTo + onward.UTC().Format(time.RFC3339Nano) + "/" + p.to.Format(time.RFC3339Nano) + "/1"})
	}
	return links
}

func slicePage[T any](list []T, page int) []T {
	from := min((page-1)*seriesPage, len(list))
	return list[from:min(from+seriesPage, len(list))]
}

// valuesBetween are the values of some signals in [from, to), as far as they lie in
// the rows that are read at once; onward is where the next row may be.
func (s *Server) valuesBetween(ctx context.Context, row machines.Row, signals []string, from, to time.Time) (list []aemp.Value, onward time.Time, err error) {
	if s.History == nil {
		return nil, onward, nil
	}
	rows, err := s.History.Rows(ctx, history.Ref{Key: row.Key, No: row.No}, from, to, seriesRows)
	if err != nil {
		return nil, onward, err
	}
	if len(rows) == seriesRows {
		onward = rows[len(rows)-1].At.Add(time.Microsecond) // a machine has one row an instant
	}
	if !onward.Before(to) {
		onward = time.Time{}
	}
	for i := range rows {
		for _, name := range signals {
			if v, ok := rows[i].Get(name); ok {
				list = append(list, aemp.Value{Signal: name, At: rows[i].At.UTC(), Value: v})
			}
		}
	}
	return list, onward, nil
}

func (s *Server) codesBetween(ctx context.Context, row machines.Row, from, to time.Time) (list []aemp.Code, err error) {
	codes, err := s.codes(ctx, row, "")
	for _, c := range codes {
		one := faultCode(c)
		one.At = c.FirstSeenAt.UTC()
		if !one.At.Before(from) && one.At.Before(to) {
			list = append(list, one)
		}
	}
	return list, err
}
