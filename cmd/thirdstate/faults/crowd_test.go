package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/thirdstate/thirdstate/internal/longform"
)

// signIn signs a person in on the pages.
func (p *plant) signIn() *http.Client {
	p.Helper()
	const password = "a long enough password"
	c := exec.CommandContext(p.Context(), programs.thirdstate, "user", "add", "viewer", "--role", "service-manager", "--database-url", p.records)
	c.Stdin = strings.NewReader(password)
	if out, err := c.CombinedOutput(); err != nil {
		p.Fatalf("%v: %s", err, out)
	}
	jar, err := cookiejar.New(nil)
	p.must(err)
	client := &http.Client{Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	answer, err := client.PostForm("http://"+p.web+"/sign-in", url.Values{"login": {"viewer"}, "password": {password}})
	p.must(err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Request.URL.Path == "/sign-in" {
		p.Fatalf("not signed in: %d %s", answer.StatusCode, answer.Request.URL)
	}
	return client
}

// F29: 500 people have a page open, and 50 of them do not read what comes.
func TestF29_ManyLookAndSomeDoNotRead(t *testing.T) {
	t.Parallel()
	viewers, deaf := longform.Choose(40, 500), longform.Choose(4, 50)
	l := l1()
	p := build(t, plan{machines: l.machines})
	viewer := p.signIn()
	f := p.talk(l)
	p.hears(f, l.perSecond)
	span := longform.Choose(2*time.Second, time.Minute)
	alone := f.now()
	p.lasts(span)
	together := f.now()
	ctx, cancel := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	var heard, open atomic.Int64
	var held []io.Closer
	for n := range viewers {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.web+"/events", nil)
		p.must(err)
		answer, err := viewer.Do(req)
		p.must(err)
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("viewer %d: %d", n, answer.StatusCode)
		}
		open.Add(1)
		if n < deaf {
			held = append(held, answer.Body)
			continue
		}
		reading.Go(func() {
			defer answer.Body.Close()
			n, _ := io.Copy(io.Discard, answer.Body) // until they leave
			heard.Add(n)
		})
	}
	everybody := f.now()
	p.lasts(span)
	end := f.now()
	cancel()
	reading.Wait()
	for _, body := range held {
		body.Close()
	}
	p.judge(f)
	before, _ := f.slowest(alone, together)
	after, most := f.slowest(everybody, end)
	t.Logf("%d viewers, %d of them deaf, the others read %d KiB; acknowledged within %v (99 of 100) without them, %v with them (all %v)", open.Load(), deaf, heard.Load()>>10, before, after, most)
	if longform.Asked() && after > max(50*time.Millisecond, 2*before) {
		t.Errorf("acknowledgements take %v with viewers, %v without", after, before)
	}
}

// F28: many devices come back at once, each from an address of its own and with one
// message, while people look at pages.
func TestF28_AllComeBackAtOnce(t *testing.T) {
	t.Parallel()
	clients, atOnce := longform.Choose(1_000, 100_000), longform.Choose(200, 4_000)
	l := l1()
	p := build(t, plan{machines: l.machines + 1})
	f := p.talk(l)
	viewer := p.signIn()
	looking, leave := context.WithCancel(t.Context())
	var pages []time.Duration
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		for looking.Err() == nil {
			from := time.Now()
			req, _ := http.NewRequestWithContext(looking, http.MethodGet, "http://"+p.web+"/today", nil)
			if answer, err := viewer.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				pages = append(pages, time.Since(from))
			}
		}
	}()
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	var again, gaveUp atomic.Int64
	from := time.Now()
	for n := range clients {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			for p.visit(l.machines, n) != nil {
				if again.Add(1); time.Since(from) > 5*time.Minute {
					gaveUp.Add(1)
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(from)
	leave()
	<-seen
	peak := p.program.Peak()
	acked, _ := f.finish()
	p.settle()
	came := map[int]bool{}
	var n float64
	p.read(`SELECT s.vals[array_position(s.signal_nos, n.no)] FROM sample s JOIN signal_no n ON n.name = 'visitor' WHERE n.no = ANY (s.signal_nos)`, []any{&n}, func() { came[int(n)] = true })
	stored, lost, wrong := p.compare(f)
	slices.Sort(pages)
	p95 := pages[len(pages)*95/100]
	t.Logf("%d clients in %v (%.0f a second), %d tried again, %d messages stored; at most %d MiB; %d pages, 95 of 100 within %v; the fleet said %d, lost %d",
		clients, took.Round(time.Millisecond), float64(clients)/took.Seconds(), again.Load(), len(came), peak, len(pages), p95.Round(time.Millisecond), acked, lost)
	if len(came) != clients || gaveUp.Load() > 0 || stored != acked || lost+wrong > 0 {
		t.Errorf("%d of %d are stored, %d gave up", len(came), clients, gaveUp.Load())
	}
	if peak > 4_096 || longform.Asked() && (took > 300*time.Second || p95 > time.Second) {
		t.Errorf("it took %v, %d MiB, pages %v", took, peak, p95)
	}
}

// visit is one device that comes, says its word, and leaves when that is acknowledged.
func (p *plant) visit(machine, n int) error {
	c, err := knock(p.mqtt, fmt.Sprint("visitor-", n), net.IPv4(127, byte(1+n>>16), byte(n>>8), byte(n)), time.Minute)
	if err != nil {
		return err
	}
	defer c.Close()
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.TopicName, m.Qos, m.MessageID = "fleet/"+key(machine)+"/telemetry", 1, 1
	m.Payload = fmt.Appendf(nil, `{"ts":%d,"boot":"b","seq":%d,"values":{"visitor":%[2]d}}`, begun.Add(time.Duration(n)*time.Millisecond).UnixMilli(), n)
	if err := m.Write(c); err != nil {
		return err
	}
	answer, err := packets.ReadPacket(c)
	if err != nil {
		return err
	}
	if _, ok := answer.(*packets.PubackPacket); !ok {
		return errors.New(answer.String())
	}
	return nil
}
