package telemetry

// tell passes a message of the program's own on to who has subscribed to it. It
// does not go through the intake: nobody has reported anything.
func (e *Embedded) tell(topic string, payload []byte, qos byte, retain bool) {
	e.relay.offer(&message{topic: topic, payload: payload, qos: qos, retain: retain})
}
