package faults

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/longform"
	"github.com/thirdstate/thirdstate/telemetry/publish"
)

// malformed is a message of the corpus that is refused whole, and why.
type malformed struct{ name, payload, reason string }

// corpus reads those of telemetry/formats/testdata/bad that a device may send on its
// own topic.
func corpus(t *testing.T) (list []malformed) {
	t.Helper()
	files, err := filepath.Glob("../../../telemetry/formats/testdata/bad/E_*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("the corpus is not where it was: ", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range strings.Split("\n"+string(text), "\n-- ")[1:] {
			m := malformed{name: filepath.Base(file) + " " + one[:2]}
			ours := false
			for line := range strings.Lines(one) {
				word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
				times := 1
				if word == "repeat" {
					var count string
					count, rest, _ = strings.Cut(rest, " ")
					times, _ = strconv.Atoi(count)
				}
				piece, _ := strconv.Unquote(rest)
				switch word {
				case "topic":
					ours = piece == "fleet/PM1/telemetry"
				case "payload", "repeat":
					m.payload += strings.Repeat(piece, times)
				case "whole":
					m.reason, _, _ = strings.Cut(rest, " ")
				}
			}
			if ours && m.reason != "" && len(m.payload) < 200<<10 && !strings.HasPrefix(m.reason, "E_TS") { // the corpus has another time
				list = append(list, m)
			}
		}
	}
	return list
}

const lettersSQL = `SELECT d.reason, count(*)::int FROM dead_letter d GROUP BY 1`

// F24: one message of ten is malformed, in at least forty ways. Each is kept with its
// reason, and the others are stored as if it had not been.
func TestF24_OneOfTenIsMalformed(t *testing.T) {
	t.Parallel()
	list, l := corpus(t), l1()
	if len(list) < 40 {
		t.Fatalf("only %d kinds", len(list))
	}
	p := build(t, plan{machines: l.machines + 10})
	f := p.talk(l)
	s, err := publish.Dial(t.Context(), "mqtt://"+p.mqtt, publish.Options{ClientID: "poison"})
	p.must(err)
	want, n := map[string]int{}, 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for heard := 0; heard < longform.Choose(l.perSecond*6, l.perSecond*180); heard = f.heard() {
		<-tick.C
		for ; n < heard/9; n++ {
			m := list[n%len(list)]
			p.must(s.Publish(t.Context(), "fleet/"+key(l.machines+n%10)+"/telemetry", []byte(m.payload)))
			want[m.reason]++
		}
	}
	p.must(s.Flush(t.Context()))
	p.must(s.Close())
	acked, _ := f.finish()
	p.settle()
	got := map[string]int{}
	var reason string
	var times int
	p.read(lettersSQL, []any{&reason, &times}, func() { got[reason] = times })
	if !maps.Equal(got, want) {
		t.Errorf("kept %v\nwant %v", got, want)
	}
	stored, lost, wrong := p.compare(f)
	var a account
	p.get("/api/v1/intake", &a)
	t.Logf("%d good messages, %d stored, %d lost; %d malformed of %d kinds and %d reasons, %d kept; %+v", acked, stored, lost, n, len(list), len(want), a.Dead, a)
	if stored != acked || lost+wrong > 0 || !a.Holds || a.Dead != n || a.Stored != acked {
		t.Errorf("%d good and %d malformed: %+v", acked, n, a)
	}
}

// F25: InfluxDB holds a signal as a text, and one message of 5,000 has it as a number.
func TestF25_ATypeConflicts(t *testing.T) {
	t.Parallel()
	l := l1()
	p := build(t, plan{influx: true, machines: l.machines + 1})
	odd := key(l.machines)
	p.must(p.influx.Write(t.Context(), fmt.Sprintf(`telemetry,machine=%s,model=GS500 odd="text" %d`, odd, begun.UnixNano())))
	f := p.talk(l)
	s, err := publish.Dial(t.Context(), "mqtt://"+p.mqtt, publish.Options{ClientID: "odd"})
	p.must(err)
	times := longform.Choose(2, 40)
	for i := range times {
		p.hears(f, longform.Choose(400, 5_000))
		p.must(s.Publish(t.Context(), "fleet/"+odd+"/telemetry", fmt.Appendf(nil, `{"ts":%d,"boot":"b","seq":%d,"values":{"odd":%[2]d.5}}`, begun.Add(time.Duration(i+1)*time.Second).UnixMilli(), i)))
	}
	p.must(s.Flush(t.Context()))
	p.must(s.Close())
	acked, _ := f.finish()
	p.settle()
	stored, lost, wrong := p.compare(f)
	got := map[string]int{}
	var reason string
	var n int
	p.read(lettersSQL, []any{&reason, &n}, func() { got[reason] = n })
	t.Logf("%d messages, %d stored; %d in conflict, kept as %v", acked, stored, times, got)
	if sum(got) != times || stored != acked || lost+wrong > 0 {
		t.Errorf("%d of %d stored, %d lost, %d wrong; of %d in conflict %v are kept", stored, acked, lost, wrong, times, got)
	}
}

func sum(of map[string]int) (n int) {
	for _, v := range of {
		n += v
	}
	return n
}

// F19: clocks of devices are an hour ahead, in 1970, in 2099 or run away. What they
// say is kept or refused with its reason, and nothing of it is taken for the newest.
func TestF19_ClocksOfDevicesAreWrong(t *testing.T) {
	t.Parallel()
	l := longform.Choose(l1(), load{machines: 190, lanes: 8, perSecond: 1_900, horizon: 300})
	p := build(t, plan{machines: l.machines + 10})
	f := p.talk(l)
	s, err := publish.Dial(t.Context(), "mqtt://"+p.mqtt, publish.Options{ClientID: "clocks"})
	p.must(err)
	rounds := longform.Choose(20, 500)
	for i := range rounds {
		p.hears(f, longform.Choose(40, 400))
		now := p.clock()
		for n, at := range []time.Time{now.Add(time.Hour), now.AddDate(-56, 0, 0), now.AddDate(73, 0, 0), now.Add(time.Duration(i) * 10 * time.Minute), now.Add(-time.Duration(i) * time.Minute)} {
			for twice := range 2 {
				p.must(s.Publish(t.Context(), "fleet/"+key(l.machines+2*n+twice)+"/telemetry", fmt.Appendf(nil, `{"ts":%d,"boot":"b","seq":%d,"values":{"power":%[2]d}}`, at.UnixMilli(), i)))
			}
		}
	}
	p.must(s.Flush(t.Context()))
	p.must(s.Close())
	acked, _ := f.finish()
	p.settle()
	got := map[string]int{}
	var text string
	var n int
	p.read(lettersSQL, []any{&text, &n}, func() { got[text] = n })
	clock := p.clock().Add(time.Minute)
	var newest, last time.Time
	p.read(`SELECT max(at) FROM sample`, []any{&newest}, func() {})
	p.read(`SELECT max(last_seen_at) FROM machine`, []any{&last}, func() {})
	ahead := p.figures()["thirdstate_readings_ahead_total"]
	stored, lost, wrong := p.compare(f)
	t.Logf("%d machines, %d rounds of bad clocks: %.0f readings flagged as ahead, dead letters %v; the newest stored is %v, the last seen %v, the program's clock %v; of the others' %d messages %d are stored",
		10, rounds, ahead, got, newest, last, clock, acked, stored)
	if newest.After(clock) || last.After(clock) {
		t.Errorf("stored at %v, seen at %v; it is %v", newest, last, clock)
	}
	if ahead < float64(4*rounds) || got["E_TS_PAST"]+got["E_TS_UNIT"] != 2*rounds || // 1970 in milliseconds could be 2135 in seconds
		lost+wrong > 0 || stored != acked {
		t.Errorf("%.0f flagged, refused %v", ahead, got)
	}
}
