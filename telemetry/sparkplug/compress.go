package sparkplug

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
)

// compressedUUID marks a payload whose body is a compressed payload: a convention
// of the Tahu clients, which the standard does not have.
const compressedUUID = "SPBV1.0_COMPRESSED"

// inflate opens a compressed payload and names the algorithm.
func inflate(outer *Payload) ([]byte, string, *Fault) {
	algorithm := "DEFLATE"
	if m, ok := outer.Metric("algorithm"); ok && m.Value.Kind == StringValue {
		algorithm = strings.ToUpper(m.Value.Text)
	}
	var r io.ReadCloser
	var err error
	switch algorithm {
	case "DEFLATE":
		r, err = zlib.NewReader(bytes.NewReader(outer.Body))
	case "GZIP":
		r, err = gzip.NewReader(bytes.NewReader(outer.Body))
	default:
		return nil, "", &Fault{Reason: Inflate, Detail: fmt.Sprintf("algorithm %.20q, expected DEFLATE or GZIP", algorithm)}
	}
	var inner []byte
	if err == nil {
		inner, err = io.ReadAll(io.LimitReader(r, MaxInflated+1))
		_ = r.Close() // says again what reading has said
	}
	if err != nil {
		return nil, "", &Fault{Reason: Inflate, Detail: "the body cannot be inflated: " + err.Error()}
	}
	if len(inner) > MaxInflated {
		return nil, "", &Fault{Reason: TooLarge, Detail: fmt.Sprintf("inflates to more than %d bytes", MaxInflated)}
	}
	return inner, algorithm, nil
}
