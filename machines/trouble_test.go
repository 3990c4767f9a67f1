package machines

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// life plays a scenario in which a line is one message, in the order in which they
// came: "12 dm1 110/0 100/1" (second 12, all codes of the unit), "12 dm2 110/0",
// "12 on 110/0", "12 off 110/0", "12 heard". It gives each record as
// "110/0 seen first-last cleared occurrences".
func life(t *testing.T, scenario string) string {
	t.Helper()
	b := &TroubleBook{codes: map[uuid.UUID][]*troubleEntry{}, sources: map[troubleUnit]*troubleSource{}}
	machine, unit := uuid.New(), 0
	var order []string
	for _, line := range strings.Split(strings.TrimSpace(scenario), "\n") {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		at := second(t, words[0])
		r := TroubleReport{MachineID: machine, At: at, Protocol: "j1939", SourceAddress: &unit, Period: time.Second, Whole: words[1] == "dm1", Previous: words[1] == "dm2"}
		for _, code := range words[2:] {
			r.Codes = append(r.Codes, ReportedCode{TroubleCode: TroubleCode{Code: code, Severity: "warning"}, On: words[1] != "off"})
		}
		if words[1] != "heard" {
			b.Report(r, uuid.New)
		}
		b.Heard(machine, at)
	}
	for _, e := range b.codes[machine] {
		order = append(order, e.says())
	}
	return strings.Join(order, "; ")
}

var zero = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func second(t *testing.T, word string) time.Time {
	t.Helper()
	d, err := time.ParseDuration(word + "s")
	if strings.HasSuffix(word, "h") {
		d, err = time.ParseDuration(word)
	}
	if err != nil {
		t.Fatal(err)
	}
	return zero.Add(d)
}

func (e *troubleEntry) says() string {
	cleared := "active"
	if e.ClearedAt != nil {
		cleared = fmt.Sprintf("cleared %g", e.ClearedAt.Sub(zero).Seconds())
	}
	if e.Previous {
		cleared += " previous"
	}
	return fmt.Sprintf("%s %g-%g %s x%d", e.Code, e.FirstSeenAt.Sub(zero).Seconds(), e.LastSeenAt.Sub(zero).Seconds(), cleared, e.Occurrences)
}

var lives = []struct{ name, scenario, want string }{
	{"appears and stays", "1 dm1\n2 dm1 a\n3 dm1 a\n4 dm1 a", "a 2-4 active x1"},
	{"clears by a DM1 without it", "1 dm1 a\n2 dm1 a b\n3 dm1 b", "a 1-2 cleared 3 x1; b 2-3 active x1"},
	{"clears when nothing is left", "1 dm1 a\n2 dm1", "a 1-1 cleared 2 x1"},
	{"three missed periods while the machine goes on", "1 dm1 a\n2 dm1 a\n5 heard\n5.5 heard", "a 1-2 cleared 5 x1"},
	{"two missed periods are not enough", "1 dm1 a\n2 dm1 a\n4.9 heard", "a 1-2 active x1"},
	{"a machine that says nothing clears nothing", "1 dm1 a\n2 dm1 a\n500 dm1 a", "a 1-500 active x1"},
	{"a gateway that passes on each tenth", "1 dm1 a\n11 dm1 a\n40 heard", "a 1-11 active x1"},
	{"and three of those are missing", "1 dm1 a\n11 dm1 a\n42 heard", "a 1-11 cleared 41 x1"},
	{"one report tells no period", "1 dm1 a\n100 heard", "a 1-1 active x1"},
	{"comes back within a day", "1 dm1 a\n2 dm1\n9 dm1 a\n10 dm1 a", "a 1-10 active x2"},
	{"comes back a third time", "1 dm1 a\n2 dm1\n3 dm1 a\n4 dm1\n5 dm1 a", "a 1-5 active x3"},
	{"comes back just within a day", "0 dm1 a\n1h dm1\n24.9h dm1 a", "a 0-89640 active x2"},
	{"comes back after a day: another record", "0 dm1 a\n1h dm1\n25h dm1 a", "a 0-0 cleared 3600 x1; a 90000-90000 active x1"},
	{"each message twice", "1 dm1 a\n1 dm1 a\n2 dm1\n2 dm1\n3 dm1 a\n3 dm1 a", "a 1-3 active x2"},
	{"all sent again", "1 dm1 a\n2 dm1\n3 dm1 a\n1 dm1 a\n2 dm1\n3 dm1 a", "a 1-3 active x2"},
	{"a late DM1 without it clears nothing", "2 dm1 a\n3 dm1 a\n1 dm1", "a 2-3 active x1"},
	{"a late DM1 with it opens nothing", "1 dm1 a\n3 dm1\n2 dm1 a", "a 1-2 cleared 3 x1"},
	{"a code that is late altogether has cleared", "1 dm1 a\n5 dm1 a\n3 dm1 a b\n6 dm1 a", "a 1-6 active x1; b 3-3 cleared 5 x1"},
	{"a late first message moves the beginning", "5 dm1 a\n4 dm1 a", "a 4-5 active x1"},
	{"on and off by events", "1 on a\n9 on b\n20 off a", "a 1-1 cleared 20 x1; b 9-9 active x1"},
	{"off without on is nothing", "1 off a", ""},
	{"previously active, never seen", "5 dm2 a", "a 5-5 cleared 5 previous x1"},
	{"previously active, seen", "1 dm1 a\n2 dm1\n5 dm2 a", "a 1-1 cleared 2 previous x1"},
	{"previously active clears nothing", "1 dm1 a b\n2 dm2 b", "a 1-1 active x1; b 1-1 active previous x1"},
}

func TestTroubleCode_Lives(t *testing.T) {
	t.Parallel()
	for _, c := range lives {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := life(t, c.scenario); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if got := life(t, c.scenario+"\n"+c.scenario); got != c.want {
				t.Errorf("read twice: %s, want %s", got, c.want)
			}
		})
	}
}

func TestTroubleCode_AMachineHasABoundedNumber(t *testing.T) {
	t.Parallel()
	b := &TroubleBook{codes: map[uuid.UUID][]*troubleEntry{}, sources: map[troubleUnit]*troubleSource{}}
	r := TroubleReport{MachineID: uuid.New(), At: zero, Protocol: "oem"}
	for i := range maxCodes + 7 {
		r.Codes = append(r.Codes, ReportedCode{TroubleCode: TroubleCode{Code: fmt.Sprint(i)}, On: true})
	}
	b.Report(r, uuid.New)
	if len(b.codes[r.MachineID]) != maxCodes || b.Dropped() != 7 {
		t.Errorf("%d codes, %d dropped", len(b.codes[r.MachineID]), b.Dropped())
	}
}

func TestMeter_KeepsTheHoursOfTheOneBefore(t *testing.T) {
	t.Parallel()
	at := func(minutes int) time.Time { return zero.Add(time.Duration(minutes) * time.Minute) }
	m := Meter{}
	steps := []struct {
		minute int
		value  float64
		reset  bool
		total  float64
	}{
		{0, 4211, false, 4211}, {60, 4212, false, 4212}, {61, 0, false, 4212}, {62, 4212.1, false, 4212.1}, // one glitch
		{63, 0.1, false, 4212.1}, {64, 0.1, false, 4212.1}, {75, 0.3, true, 4212.3}, // a new unit
		{135, 1.3, false, 4213.3}, {30, 9, false, 4213.3}, // late
		{136, 1.0, false, 4213.3}, // rounding
	}
	for _, s := range steps {
		_, reset := m.Observe(at(s.minute), s.value, m.Last)
		if (reset != nil) != s.reset || m.Base+m.Last < s.total-1e-9 || m.Base+m.Last > s.total+1e-9 {
			t.Errorf("minute %d: reset %v, total %v, want %v", s.minute, reset, m.Base+m.Last, s.total)
		}
		if reset != nil && (reset.From != 4212.1 || reset.To != 0.1 || !reset.At.Equal(at(63))) {
			t.Errorf("%+v", reset)
		}
	}
}
