package maintenance

import (
	"context"
	"log/slog"
)

// A Channel tells one person one thing. Send returns when the far side has
// accepted the notice, and returns promptly when ctx ends. The same notice may be
// sent twice: after a crash nobody knows whether the first one got through.
type Channel interface {
	Send(ctx context.Context, n Notice) error
}

// channelKind is one way to tell a person something.
type channelKind struct {
	Name string
	Open func(log *slog.Logger) Channel
}

// channels lists every way to tell a person something. Add yours here.
//
// In this release no gateway for SMS or WeCom is connected: their notices are
// delivered to the program's log, are marked sent, and show on the pages.
var channels = []channelKind{
	{"page", openPage},
	{"call", openPage}, // somebody said it on the phone: nothing is left to be sent
	{"log", openLog},
	{"sms", openLog},
	{"wecom", openLog},
}

func knownChannel(name string) bool {
	for _, c := range channels {
		if c.Name == name {
			return true
		}
	}
	return false
}

// pageChannel is the program's own pages: a stored notice is already there.
type pageChannel struct{}

func openPage(*slog.Logger) Channel { return pageChannel{} }

func (pageChannel) Send(context.Context, Notice) error { return nil }

// logChannel writes what would be sent, without the number in full.
type logChannel struct{ log *slog.Logger }

func openLog(log *slog.Logger) Channel { return logChannel{log} }

func (c logChannel) Send(ctx context.Context, n Notice) error {
	c.log.InfoContext(ctx, "notice", "channel", n.Channel, "to", maskNumber(n.Recipient), "text", n.Text, "notice_id", n.ID)
	return nil
}

// maskNumber hides the middle of a phone number; a name stays as it is.
func maskNumber(recipient string) string {
	if len(recipient) < 9 || recipient[0] != '+' {
		return recipient
	}
	return recipient[:len(recipient)-8] + "****" + recipient[len(recipient)-4:]
}
