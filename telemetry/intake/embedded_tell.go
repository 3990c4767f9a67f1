package intake

import "context"

// Publish sends a message to a device, at QoS 1, if it listens now. The error is
// nil: that a broker has it is all that can be said, and this one is here.
func (e *Embedded) Publish(_ context.Context, topic string, payload []byte) error {
	e.tell(topic, payload, 1, false)
	return nil
}

// tell passes a message of the program's own on to who has subscribed to it. It
// does not go through the intake: nobody has reported anything.
func (e *Embedded) tell(topic string, payload []byte, qos byte, retain bool) {
	e.relay.offer(&message{topic: topic, payload: payload, qos: qos, retain: retain})
}

// watchedTopic is a topic of the program's own on which somebody else may speak.
type watchedTopic struct {
	topic string
	heard func(payload []byte)
}

// watch has heard called for each message of a client on a topic, after it was
// passed on, so that what is told then comes last. It must return at once.
func (e *Embedded) watch(topic string, heard func(payload []byte)) {
	e.watched.Store(&watchedTopic{topic, heard})
}
