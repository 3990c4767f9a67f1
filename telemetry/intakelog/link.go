package intakelog

import (
	"encoding/json"
	"fmt"
)

// LinkEnd is the payload of a Link record: how the connection of the record's device
// ended, and of which machines its messages were, as far as their topics name them.
type LinkEnd struct {
	Goodbye  bool     `json:"goodbye"` // the client took leave; else its connection broke, or nothing came any more
	Machines []string `json:"machines,omitempty"`
}

// Payload is how a record holds it.
func (e LinkEnd) Payload() []byte {
	text, err := json.Marshal(e)
	if err != nil {
		return []byte("{}") // strings always marshal
	}
	return text
}

// ReadLinkEnd reads the payload of a Link record.
func ReadLinkEnd(payload []byte) (e LinkEnd, err error) {
	if err = json.Unmarshal(payload, &e); err != nil {
		return e, fmt.Errorf("read how a connection ended: %w", err)
	}
	return e, nil
}
