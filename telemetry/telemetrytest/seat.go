package telemetrytest

import (
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// Seat is a client on a broker that remembers what has come to it.
type Seat struct {
	mqtt.Client
	mu   sync.Mutex
	seen []mqtt.Message
}

// Sit connects and subscribes at QoS 1; options may be nil.
func Sit(t *testing.T, address, id string, options func(*mqtt.ClientOptions), filters ...string) *Seat {
	t.Helper()
	s := &Seat{}
	o := mqtt.NewClientOptions().AddBroker("tcp://" + address).SetClientID(id).SetAutoReconnect(false).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, m)
	})
	if options != nil {
		options(o)
	}
	s.Client = mqtt.NewClient(o)
	Done(t, s.Connect())
	for _, f := range filters {
		Done(t, s.Subscribe(f, 1, nil))
	}
	t.Cleanup(func() { s.Disconnect(0) })
	return s
}

// Done waits for what the broker has to answer.
func Done(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(Patience) || token.Error() != nil {
		t.Fatalf("the broker does not answer: %v", token.Error())
	}
}

// On returns what came on a topic.
func (s *Seat) On(topic string) (list []mqtt.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.seen {
		if m.Topic() == topic {
			list = append(list, m)
		}
	}
	return list
}

// Last waits until n messages have come on a topic and returns the newest.
func (s *Seat) Last(t *testing.T, topic string, n int) mqtt.Message {
	t.Helper()
	Eventually(t, func() bool { return len(s.On(topic)) >= n })
	list := s.On(topic)
	return list[len(list)-1]
}
