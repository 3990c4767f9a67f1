// Package intake has the doors through which messages come: the MQTT broker in the
// process, an external broker, HTTP and Sparkplug. It knows which devices may come in
// and what each may say, appends what they send to the intake log as it is, and
// acknowledges after the fsync. It must not know what a message means or what
// becomes of it: whoever wants that reads the log.
package intake
