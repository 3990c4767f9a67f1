package edge

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func sample() Envelope {
	return Envelope{Log: uuid.MustParse("0198c0de-0000-7000-8000-000000000001"), LSN: 1 << 40, Received: time.Unix(0, 1772431200123456789).UTC(), Source: "embedded", Device: "D1",
		Names: []string{"PM1", "泵车"}, Topic: "fleet/PM1/telemetry", Dup: true, Retained: true, Will: true, Size: 4, Payload: []byte{0, 1, 2, 255}}
}

func TestEnvelope_ComesBackAsItWas(t *testing.T) {
	t.Parallel()
	anonymous := Envelope{Any: true, Received: time.Unix(0, 0).UTC(), Payload: []byte{}}
	for _, e := range []Envelope{sample(), anonymous} {
		if got, err := Open(e.Append(nil)); err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, e)
		}
	}
}

func TestEnvelope_IsSmallHoweverMuchIsKnown(t *testing.T) {
	t.Parallel()
	e := sample()
	e.Topic, e.Device = strings.Repeat("t", 512), strings.Repeat("d", 256)
	e.Names = slices.Repeat([]string{strings.Repeat("n", 200)}, 1_000)
	if n := len(e.Append(nil)) - len(e.Payload); n > MaxHead {
		t.Errorf("%d bytes", n)
	}
}

func TestTopic_NamesItsEdge(t *testing.T) {
	t.Parallel()
	if id, ok := FromTopic(Topic("EDGE1")); !ok || id != "EDGE1" {
		t.Error(id, ok)
	}
	for _, topic := range []string{"edge//records", "edge/a/b/records", "edge/+/records", "edge/a", "edge/a/records/x", "fleet/a/records", ""} {
		if id, ok := FromTopic(topic); ok {
			t.Errorf("%q is of edge %q", topic, id)
		}
	}
}

func FuzzOpen(f *testing.F) {
	e := sample()
	whole := e.Append(nil)
	for n := range whole {
		f.Add(whole[:n])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := Open(payload)
		if err != nil {
			return
		}
		again, err := Open(e.Append(nil))
		if err != nil || !bytes.Equal(again.Payload, e.Payload) || again.Topic != e.Topic || again.LSN != e.LSN {
			t.Errorf("%+v became %+v: %v", e, again, err)
		}
	})
}
