package publish

import (
	"context"
	"fmt"
)

// Will is what the broker is to say when a connection breaks.
type Will struct {
	Topic   string
	Payload []byte
}

// Lose connects with a last will and loses the connection without a good-bye, as a
// machine does that drives into a tunnel. The broker says the will; when, is its affair.
func Lose(ctx context.Context, brokerURL string, options Options, will Will) error {
	options.will = &will
	p, _, err := prepare(brokerURL, options)
	if err != nil {
		return err
	}
	defer p.cancel()
	conn, err := p.connectFirst(ctx)
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return fmt.Errorf("break the connection: %w", err)
	}
	return nil
}
