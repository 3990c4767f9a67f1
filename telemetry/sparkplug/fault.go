package sparkplug

// Reasons why a message, or a part of it, is refused. They are stored, shown and
// counted.
const (
	TooLarge  = "E_TOO_LARGE"
	TooMany   = "E_VALUES" // more metrics, properties or cells than a message may have
	BadText   = "E_UTF8"
	Truncated = "E_PB_TRUNC"
	Varint    = "E_PB_VARINT"
	Wire      = "E_PB_WIRE" // a wire type that the field cannot have, a group, a field number 0
	Depth     = "E_PB_DEPTH"
	Inflate   = "E_PB_INFLATE" // a compressed payload that cannot be inflated
	NoBirth   = "E_SPB_NOBIRTH"
	BadAlias  = "E_SPB_ALIAS"
	BadSeq    = "E_SPB_SEQ"
	BadBdSeq  = "E_SPB_BDSEQ"
	BadNull   = "E_SPB_NULL"
	BadType   = "E_SPB_DTYPE"
	BadTopic  = "E_SPB_TOPIC"
)

// Fault says why a message or a part of it is refused.
type Fault struct {
	Reason string
	Detail string
	Path   string // the metric
	Offset int    // byte in the payload, in the inflated one where it was compressed
}

func (f *Fault) Error() string {
	if f.Path != "" {
		return f.Reason + ": " + f.Path + ": " + f.Detail
	}
	return f.Reason + ": " + f.Detail
}
