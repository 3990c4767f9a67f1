package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/sparkplug"
)

// sparkplugSession is one connection of the host to the external broker. Each has
// a will of its own, with the time at which it began, so that no client of the
// library is used twice.
type sparkplugSession struct {
	host    *SparkplugHost
	client  mqtt.Client
	since   time.Time // in will and birth
	inbox   *queue
	lost    chan error    // capacity 1
	doubted chan struct{} // capacity 1: somebody says that we are offline
	running sync.WaitGroup
}

// listen keeps a session with the external broker until ctx ends.
func (h *SparkplugHost) listen(ctx context.Context) {
	before := ""
	for ctx.Err() == nil {
		err := h.session(ctx)
		if text := fmt.Sprint(err); err != nil && text != before && ctx.Err() == nil {
			h.Logger.Warn("Sparkplug cannot listen to the broker, trying again", "broker", h.broker.Redacted(), "error", err)
			before = text
		} else if err == nil {
			before = ""
		}
		_ = clock.Rest(ctx, brokerAgain)
	}
}

// session connects, listens, says that the host is online, and waits for the end.
func (h *SparkplugHost) session(ctx context.Context) error {
	s := &sparkplugSession{host: h, since: time.Now(), inbox: newQueue(), lost: make(chan error, 1), doubted: make(chan struct{}, 1)}
	s.client = mqtt.NewClient(h.connect(ctx, s))
	if err := within(s.client.Connect()); err != nil {
		s.client.Disconnect(0)
		return fmt.Errorf("connect: %w", err)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		s.inbox.shut()
		end()
		s.running.Wait()
	}()
	s.running.Go(func() { s.feed(life) })
	if err := s.begin(ctx); err != nil {
		s.client.Disconnect(0)
		return err
	}
	h.adopt(s)
	h.Logger.Info("Sparkplug listens to the broker", "broker", h.broker.Redacted(), "host", h.HostID, "groups", h.Groups)
	err := s.wait(ctx)
	h.adopt(nil)
	if err == nil {
		err = s.leave()
	}
	s.client.Disconnect(250)
	return err
}

func (h *SparkplugHost) adopt(s *sparkplugSession) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.external = s
}

func (s *sparkplugSession) options(ctx context.Context, tlsConfig *tls.Config) *mqtt.ClientOptions {
	h := s.host
	return mqtt.NewClientOptions().
		AddBroker(h.broker.String()).
		SetProtocolVersion(mqtt311).
		SetClientID("thirdstate-spb-"+h.Log.ID().String()[:8]).
		SetCleanSession(true). // the standard's word: a host that was away knows nothing
		SetBinaryWill(h.stateTopic(), sparkplug.StatePayload(false, s.since), 1, true).
		SetOrderMatters(true).
		SetDefaultPublishHandler(s.receive).
		SetAutoReconnect(false).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { s.fail(err) }).
		SetCustomOpenConnectionFn(func(broker *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return dialBroker(ctx, broker, tlsConfig, brokerWithin)
		}).
		SetConnectTimeout(brokerWithin).
		SetWriteTimeout(brokerWithin).
		SetKeepAlive(brokerAlive).
		SetPingTimeout(brokerWithin)
}

// within waits for what the broker has to answer.
func within(token mqtt.Token) error {
	if !token.WaitTimeout(brokerWithin) {
		return errors.New("the broker did not answer in time")
	}
	return token.Error()
}

// begin notes in the log that births may have been missed, subscribes, and then
// says that the host is online.
func (s *sparkplugSession) begin(ctx context.Context) error {
	h := s.host
	if _, err := h.Log.AppendWait(ctx, intakelog.Record{Kind: intakelog.Session, Source: externalSpark, Received: h.Now()}); err != nil {
		return fmt.Errorf("note the beginning in the intake log: %w", err)
	}
	filters := map[string]byte{h.stateTopic(): 1}
	for _, group := range h.Groups {
		filters[sparkplug.Namespace+group+"/#"] = 1
	}
	if len(h.Groups) == 0 {
		filters[sparkplug.Namespace+"#"] = 1
	}
	token, ok := s.client.SubscribeMultiple(filters, nil).(*mqtt.SubscribeToken)
	if !ok {
		return errors.New("the library gave another token")
	}
	if err := within(token); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for topic, granted := range token.Result() {
		if granted > 2 {
			return fmt.Errorf("the broker does not let us subscribe to %s", topic)
		}
	}
	if err := within(s.client.Publish(h.stateTopic(), 1, true, sparkplug.StatePayload(true, s.since))); err != nil {
		return fmt.Errorf("say that the host is online: %w", err)
	}
	return nil
}

// wait ends with ctx, then nil, or with the connection.
func (s *sparkplugSession) wait(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.lost:
			return err
		case <-s.doubted:
			s.client.Publish(s.host.stateTopic(), 1, true, sparkplug.StatePayload(true, s.since))
		}
	}
}

// leave says that the host goes on purpose: the broker forgets the will then.
func (s *sparkplugSession) leave() error {
	if err := within(s.client.Publish(s.host.stateTopic(), 1, true, sparkplug.StatePayload(false, time.Now()))); err != nil {
		return fmt.Errorf("say that the host is offline: %w", err)
	}
	return nil
}

func (s *sparkplugSession) fail(err error) {
	select {
	case s.lost <- err:
	default:
	}
}

// receive takes a message off the library's hands. What hosts say to edge nodes
// and of themselves is no telemetry.
func (s *sparkplugSession) receive(_ mqtt.Client, m mqtt.Message) {
	if m.Topic() == s.host.stateTopic() {
		if state, ok := sparkplug.ParseState(m.Payload()); ok && !state.Online {
			select {
			case s.doubted <- struct{}{}:
			default:
			}
		}
		return
	}
	if t, _, fault := sparkplug.ParseTopic(m.Topic()); fault == nil && (t.Type == sparkplug.State || t.Type.Command()) {
		return
	}
	if !strings.HasPrefix(m.Topic(), sparkplug.Namespace) || s.inbox.add(m, maxInboxBytes) {
		return
	}
	s.host.counts.refuse(reasonQueue)
	s.fail(errors.New("too much waits for the intake log"))
}

// feed gives messages to the log, in order. At this session's quality of service
// a broker sends nothing again, so that nothing is kept waiting for an answer.
func (s *sparkplugSession) feed(life context.Context) {
	for {
		m := s.inbox.take(life)
		if m == nil {
			return
		}
		r := intakelog.Record{Kind: intakelog.Message, Source: externalSpark, Received: s.host.Now(), Topic: cleanTopic(m.Topic()), Dup: m.Duplicate(), Payload: m.Payload()}
		for {
			err := s.host.Log.Append(r, nil)
			if errors.Is(err, intakelog.ErrTooLarge) {
				s.host.counts.refuse(reasonTooLarge)
				r.Topic, r.Payload = cleanTopic(tooLargeMark+r.Topic), r.Payload[:tooLargeKept]
				continue
			}
			if err == nil {
				s.host.counts.took(m.Qos(), len(m.Payload()))
				break
			}
			s.host.counts.refuse(reasonLogFull)
			if clock.Rest(life, offerAgain) != nil {
				return
			}
		}
	}
}
