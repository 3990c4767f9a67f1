package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/thirdstate/thirdstate/telemetry/aemp"
	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
)

// Bounds of one poll.
const (
	maxBody   = 16 << 20
	maxTotal  = 256 << 20
	maxPages  = 1_000
	maxSeries = 20_000 // requests for time series
	window    = 7 * 24 * time.Hour
	overlap   = time.Hour
	partBytes = 240 << 10 // of a document that is cut: below what a message may have
)

// Source of the records that a puller writes.
const recordSource = "aemp"

type amount struct{ pages, bytes uint64 }

// laterError says when the server wants to be asked again.
type laterError struct{ after time.Duration }

func (e *laterError) Error() string { return "the server wants to be asked later" }

// runOnce asks for all pages of the fleet, then for the series of its machines.
func (f *feed) runOnce(ctx context.Context) (got amount, err error) {
	if f.client == nil {
		if f.client, err = f.signIn(ctx); err != nil {
			return got, err
		}
	}
	first := max(f.FirstPage, 0)
	if f.FirstPage == 0 {
		first = 1
	}
	var machines []aemp.Header
	topic := "aemp/" + f.Name
	err = f.pages(ctx, f.address("Fleet", strconv.Itoa(first)), topic, &got, func(page aemp.Fleet) {
		for i := range page.Equipment {
			machines = append(machines, page.Equipment[i].Header)
		}
	})
	if err != nil {
		return got, err
	}
	return got, f.series(ctx, machines, &got)
}

// address puts parts behind the source's URL, each escaped.
func (f *feed) address(parts ...string) string {
	out := strings.TrimRight(f.URL, "/")
	for _, p := range parts {
		out += "/" + url.PathEscape(p)
	}
	return out
}

// series asks for time series of the machines, a week back and with an overlap of
// what was asked before: what comes twice counts once.
func (f *feed) series(ctx context.Context, machines []aemp.Header, got *amount) error {
	end := f.Now().UTC().Truncate(time.Second)
	start := end.Add(-window)
	f.mu.Lock()
	if !f.status.Good.IsZero() {
		start = later(start, end.Add(-time.Since(f.status.Good)-overlap))
	}
	f.mu.Unlock()
	asked := 0
	for _, m := range machines {
		name := formats.FleetName(m)
		if name == "" || m.SerialNumber == "" || m.Model == "" || m.OEMName == "" {
			continue
		}
		for _, metric := range f.Series {
			if asked++; asked > maxSeries {
				return fmt.Errorf("more than %d time series", maxSeries)
			}
			at := f.address("Fleet", "Equipment", "MakeModelSerial", m.OEMName, m.Model, m.SerialNumber, metric, start.Format(time.RFC3339), end.Format(time.RFC3339), "1")
			err := f.pages(ctx, at, "aemp/"+f.Name+"/"+url.PathEscape(name), got, func(aemp.Fleet) {})
			if errors.Is(err, errMissing) {
				continue // this machine has no such series
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

var errMissing = errors.New("the server knows no such page")

// pages follows the links from page to page, and writes each answer into the log
// before the next is asked for. A page that was there already ends the way: some
// servers call the same page their next one.
func (f *feed) pages(ctx context.Context, at, topic string, got *amount, each func(aemp.Fleet)) error {
	seen := map[string]bool{}
	for range maxPages {
		if seen[at] {
			return nil
		}
		seen[at] = true
		body, err := f.get(ctx, at)
		if err != nil {
			return err
		}
		got.pages++
		if got.bytes += uint64(len(body)); got.bytes > maxTotal {
			return fmt.Errorf("more than %d bytes in one poll", maxTotal)
		}
		page, unread := read(body)
		if err := f.keep(ctx, topic, body, unread == nil); err != nil {
			return err
		}
		if unread != nil { // it lies in the log, and becomes a dead letter with this reason
			return fmt.Errorf("the answer %w", unread)
		}
		each(page)
		next, err := f.next(at, page)
		if err != nil || next == "" {
			return err
		}
		at = next
	}
	return fmt.Errorf("more than %d pages", maxPages)
}

// read reads an answer; one over which the program fails is unread, as it will be
// when it is decoded from the log.
func read(body []byte) (page aemp.Fleet, unread error) {
	if crash := formats.Contain(func() { page, unread = aemp.Read(body) }); crash != nil {
		return aemp.Fleet{}, crash
	}
	return page, unread
}

// next is where the page's link leads, "" on the last. Elsewhere we do not go.
func (f *feed) next(at string, page aemp.Fleet) (string, error) {
	href := page.Link("next")
	if href == "" || href == page.Link("self") {
		return "", nil
	}
	here, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	to, err := here.Parse(href)
	if err != nil {
		return "", fmt.Errorf("the link to the next page is none: %w", err)
	}
	if to.Host != here.Host || to.Scheme != here.Scheme {
		return "", fmt.Errorf("the next page is on another server, %s", to.Host)
	}
	return to.String(), nil
}

func (f *feed) get(ctx context.Context, at string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return nil, err
	}
	accept := f.Accept
	if accept == "" {
		accept = "application/xml, application/iso15143-snapshot+json, application/json;q=0.9"
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "thirdstate")
	w, err := f.client.Do(r)
	if err != nil {
		return nil, withoutAnswer(err)
	}
	defer w.Body.Close()
	switch {
	case w.StatusCode == http.StatusTooManyRequests, w.StatusCode == http.StatusServiceUnavailable:
		return nil, fmt.Errorf("the server answers %d: %w", w.StatusCode, &laterError{retryAfter(w.Header.Get("Retry-After"), time.Now())})
	case w.StatusCode == http.StatusUnauthorized:
		f.client = nil // a token may have been revoked, a secret changed
		return nil, errors.New("the server does not know us (401)")
	case w.StatusCode == http.StatusNotFound:
		return nil, errMissing
	case w.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server answers %d", w.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(w.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxBody)
	}
	return body, nil
}

// retryAfter reads seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(text); err == nil && s >= 0 && s < 1<<30 {
		return time.Duration(s) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// keep writes an answer into the intake log, in parts where it is longer than a
// message may be, and waits until it is there. What cannot be read is written too,
// as far as a message goes: it is somebody's to look at.
func (f *feed) keep(ctx context.Context, topic string, body []byte, readable bool) error {
	parts := [][]byte{body[:min(len(body), formats.MaxPayload)]}
	if readable {
		var err error
		if parts, err = aemp.Split(body, partBytes); err != nil {
			return err
		}
	}
	for i, p := range parts {
		r := intakelog.Record{Received: f.Now(), Kind: intakelog.Message, Source: recordSource, Topic: topic, Payload: p}
		var err error
		if i < len(parts)-1 {
			err = f.Log.Append(r, nil)
		} else {
			_, err = f.Log.AppendWait(ctx, r)
		}
		if err != nil {
			return fmt.Errorf("write the answer into the log: %w", err)
		}
	}
	return nil
}
