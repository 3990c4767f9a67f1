package history

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/postgres/postgrestest"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/telemetrytest"
)

func TestInflux_NamesEveryFaultOfItsSettings(t *testing.T) {
	t.Parallel()
	_, err := NewInflux(InfluxConfig{URL: "127.0.0.1:8086", Token: "a\nb"})
	p := problem.As(err)
	if p == nil || p.Kind != problem.Invalid || len(p.Fields) != 3 {
		t.Fatalf("got %v", err)
	}
}

// influxShelf is a machine and the history in a real InfluxDB.
func influxShelf(t *testing.T, server *telemetrytest.Influx) shelf {
	t.Helper()
	pool := postgrestest.New(t)
	machine, ref := addMachine(t, pool, "PM62-5")
	return shelf{Store: openInflux(t, server, InfluxConfig{Pool: pool}), pool: pool, machine: machine, ref: ref}
}

func TestInflux_NarrowsARefusalDownToTheValue(t *testing.T) {
	t.Parallel()
	server := telemetrytest.ShareInflux(t)
	s := influxShelf(t, server)
	post(t, server, s, fmt.Sprintf("telemetry,machine=other bad=1i,worse=1i %d", start.UnixNano())) // as somebody may have written it before us
	var points []Point
	for i := range 5_000 {
		points = append(points, s.point(i, val("good", float64(i)), val("fine", 1)))
	}
	points[77].Values = append(points[77].Values, val("bad", 1))
	points[300].Values = append(points[300].Values, val("bad", 2), val("worse", 3))
	err := s.Write(program(t.Context()), points)
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || len(refused.Refused) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, w := range []Refusal{{Point: 77, Signal: "bad"}, {Point: 300, Signal: "bad"}, {Point: 300, Signal: "worse"}} {
		r := refused.Refused[i]
		if r.Point != w.Point || r.Signal != w.Signal || r.Fault.Reason != formats.HistoryRefused || !strings.Contains(r.Fault.Detail, "type conflict") {
			t.Errorf("refusal %d: %+v", i, r)
		}
	}
	rows := s.rows(program(t.Context()), t)
	want(t, len(rows), 5_000)
	want(t, rows[77], map[string]float64{"good": 77, "fine": 1})
	want(t, rows[300], map[string]float64{"good": 300, "fine": 1})
}

// post writes a line as a stranger would.
func post(t *testing.T, server *telemetrytest.Influx, s shelf, line string) {
	t.Helper()
	database, _, _ := strings.Cut(s.Store.(*Influx).bucket, "/")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/write?db="+database, strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		t.Fatalf("write %q: %s", line, answer.Status)
	}
}

func TestInflux_RefusesNamesThatItDoesNotHave(t *testing.T) {
	t.Parallel()
	s := influxShelf(t, telemetrytest.ShareInflux(t))
	err := s.Write(program(t.Context()), []Point{s.point(0, val("time", 1), val("a\\", 2), val("c", 3)), s.point(1, val("c", 4))})
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || len(refused.Refused) != 2 {
		t.Fatalf("got %v", err)
	}
	want(t, s.rows(program(t.Context()), t), table{0: {"c": 3}, 1: {"c": 4}})
}

func TestInflux_SplitsWhatIsTooLargeForTheServer(t *testing.T) {
	t.Parallel()
	s := influxShelf(t, telemetrytest.ShareInflux(t))
	var points []Point
	for i := range 4_000 { // 4 MB of lines, 2 MB are taken
		points = append(points, s.point(i, val(strings.Repeat("long", 40), float64(i)), val(strings.Repeat("name", 40), 1), val(strings.Repeat("more", 160), 1)))
	}
	s.write(t, points...)
	want(t, len(s.rows(program(t.Context()), t)), 4_000)
}

func TestInflux_SaysWhichSettingIsWrong(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	machine, ref := addMachine(t, pool, "PM62-5")
	server := telemetrytest.StartInflux(t, true)
	server.Query(t, `CREATE USER root WITH PASSWORD 'secret' WITH ALL PRIVILEGES`)
	server.Query(t, `CREATE DATABASE "test"`)
	for name, c := range map[string]struct {
		config InfluxConfig
		says   string
	}{
		"token":    {InfluxConfig{Bucket: "test/autogen", Token: "root:wrong"}, "--influx-token"},
		"no token": {InfluxConfig{Bucket: "test/autogen"}, "--influx-token"},
		"bucket":   {InfluxConfig{Bucket: "elsewhere/autogen", Token: "root:secret"}, "--influx-bucket"},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Pool = pool
			s := shelf{Store: openInflux(t, server, c.config), pool: pool, machine: machine, ref: ref}
			err := s.Write(program(t.Context()), []Point{s.point(0, val("a", 1))})
			if problem.Of(err) != problem.Unavailable || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
				t.Fatalf("write: %v", err)
			}
			if _, err := s.Latest(program(t.Context()), ref); err == nil {
				t.Fatal("it reads")
			}
		})
	}
	s := shelf{Store: openInflux(t, server, InfluxConfig{Bucket: "test/autogen", Token: "root:secret", Pool: pool}), pool: pool, machine: machine, ref: ref}
	s.write(t, s.point(0, val("a", 1)))
	want(t, s.rows(program(t.Context()), t), table{0: {"a": 1}})
}

func TestInflux_IsBackWhenItsServerIs(t *testing.T) {
	t.Parallel()
	server := telemetrytest.StartInflux(t, false)
	s := influxShelf(t, server)
	s.write(t, s.point(0, val("a", 1)))
	address := strings.TrimPrefix(server.URL, "http://")
	server.Kill()
	err := s.Write(program(t.Context()), []Point{s.point(1, val("a", 2))})
	if problem.Of(err) != problem.Unavailable || !strings.Contains(err.Error(), "cannot be reached") {
		t.Fatalf("write: %v", err)
	}
	if _, err := s.Range(program(t.Context()), Query{Machine: s.ref, From: start, To: start.Add(time.Hour)}); problem.Of(err) != problem.Unavailable {
		t.Fatalf("range: %v", err)
	}
	server.Start(t, address, false)
	s.write(t, s.point(1, val("a", 2)))
	want(t, s.rows(program(t.Context()), t), table{0: {"a": 1}, 1: {"a": 2}})
}

// TestInflux_LooksForTheNewestRowFurtherAndFurther back: a window ends where
// the one before began, and none is all time.
func TestInflux_LooksForTheNewestRowFurtherAndFurther(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	machine, ref := addMachine(t, pool, "PM62-5")
	now := start
	s := shelf{Store: openInflux(t, telemetrytest.ShareInflux(t), InfluxConfig{Pool: pool, Now: func() time.Time { return now }}), pool: pool, machine: machine, ref: ref}
	s.write(t, s.point(-60, val("a", 1)))
	for _, later := range append([]time.Duration{0}, lookBack[:len(lookBack)-1]...) {
		now = start.Add(later)
		if o, err := s.Latest(program(t.Context()), ref); err != nil || !o.At.Equal(start.Add(-time.Minute)) {
			t.Errorf("after %v: %v, %v", later, o, err)
		}
	}
	now = start.Add(lookBack[len(lookBack)-1])
	if _, err := s.Latest(program(t.Context()), ref); problem.Of(err) != problem.NotFound {
		t.Errorf("after ten years: %v", err)
	}
}

// TestInflux_StoresWhatIsLeftOfARefusal narrows down what InfluxDB 2 refuses
// with 422, as what is older than its bucket keeps, and halves what is too large.
func TestInflux_StoresWhatIsLeftOfARefusal(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var taken []string
	h := answering(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		lines := strings.Split(strings.TrimSpace(string(body)), "\n")
		switch {
		case len(lines) > 100:
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case strings.Contains(string(body), "bad="):
			w.WriteHeader(http.StatusUnprocessableEntity)
		default:
			mu.Lock()
			taken = append(taken, lines...)
			mu.Unlock()
			w.WriteHeader(http.StatusNoContent)
		}
	})
	var points []Point
	for i := range 1_000 {
		points = append(points, abroad().point(i, val("a", float64(i))))
	}
	points[7].Values = append(points[7].Values, val("bad", 1))
	points[700].Values = []observation.Value{val("bad", 1)}
	refused, ok := errors.AsType[*RefusedError](h.Write(program(t.Context()), points))
	if !ok || len(refused.Refused) != 2 || refused.Refused[0].Point != 7 || refused.Refused[1].Point != 700 {
		t.Fatalf("got %+v", refused)
	}
	want(t, len(taken), 999)
}

// answering is a server that answers writes in a way that the real one cannot be
// brought to.
func answering(t *testing.T, answer http.HandlerFunc) *Influx {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	h, err := NewInflux(InfluxConfig{URL: server.URL, Bucket: "telemetry", Org: "o"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// abroad is a machine that only these servers know.
func abroad() shelf { return shelf{ref: Ref{Key: "PM62-5"}} }

func TestInflux_WaitsAsLongAsTheServerWants(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		h := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(status)
		})
		err := h.Write(program(t.Context()), []Point{abroad().point(0, val("a", 1))})
		if later, ok := errors.AsType[*LaterError](err); !ok || later.After != 17*time.Second || problem.Of(err) != problem.Unavailable {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestInflux_LosesNothingToAServerThatRefusesEverything(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusInternalServerError, http.StatusFound, http.StatusRequestEntityTooLarge} {
		h := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
			for range 1_000 { // more than anybody should read
				_, _ = w.Write(make([]byte, 1_000))
			}
		})
		err := h.Write(program(t.Context()), []Point{abroad().point(0, val("a", 1), val("b", 2)), abroad().point(1, val("a", 1))})
		if _, refused := errors.AsType[*RefusedError](err); err == nil || refused {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestInflux_HandsABrokenAnswerBack(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	h := answering(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("#datatype,string,long,dateTime:RFC3339\r\n#group,false"))
	})
	if _, err := h.Rows(program(t.Context()), Ref{Key: "a"}, start, start.Add(time.Hour), 0); problem.Of(err) != problem.Unavailable {
		t.Fatalf("a cut answer: %v", err)
	}
	want(t, asked.Load(), int64(1))
}
