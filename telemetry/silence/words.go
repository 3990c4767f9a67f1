package silence

import "strings"

// A witness is a signal whose last value says whether a machine works. What it is
// called in a pack, by J1939 or by a maker's gateway is folded before it is compared.
type witness struct {
	name    string
	above   float64 // works above this value
	decides bool    // a main switch: off means at rest, whatever hangs on from before
}

// witnesses lists the signals that say whether a machine works. Add yours here.
//
//nolint:gochecknoglobals // an ordered list, never written
var witnesses = []witness{
	{"ignition", 0.5, true},
	{"acc", 0.5, true},
	{"keyswitch", 0.5, true},
	{"keyon", 0.5, true},
	{"running", 0.5, true},
	{"enginerunning", 0.5, true},
	{"engineon", 0.5, true},
	{"motorrunning", 0.5, true},
	{"enginespeed", 50, false},
	{"rpm", 50, false},
	{"motorspeed", 50, false},
	{"engineload", 1, false},
	{"load", 1, false},
	{"power", 1, false},
	{"activepower", 1, false},
	{"motorcurrent", 1, false},
	{"strokerate", 0.5, false},
}

// Listener makes out of a machine's last values what they say of its work. The
// zero value has heard nothing.
type Listener struct{ switchOn, switchOff, on, off bool }

// Hear takes the last value of one signal.
func (l *Listener) Hear(signal string, value float64) {
	w := witnessOf(signal)
	if w == nil || value != value {
		return
	}
	works := value > w.above
	switch {
	case w.decides && works:
		l.switchOn = true
	case w.decides:
		l.switchOff = true
	case works:
		l.on = true
	default:
		l.off = true
	}
}

// Words is what was heard. A switch that is on means at work, whatever else rests;
// one that is off means at rest, because a speed of before may stand there still.
func (l *Listener) Words() Words {
	switch {
	case l.switchOn:
		return Working
	case l.switchOff:
		return Resting
	case l.on:
		return Working
	case l.off:
		return Resting
	}
	return NoneSaid
}

// witnessOf finds a signal by its whole name or by what stands behind the last dot.
func witnessOf(signal string) *witness {
	last := signal[strings.LastIndexByte(signal, '.')+1:]
	for i := range witnesses {
		if folds(signal, witnesses[i].name) || folds(last, witnesses[i].name) {
			return &witnesses[i]
		}
	}
	return nil
}

// folds says whether a name is another one, written without separators and capitals.
func folds(name, plain string) bool {
	at := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_', c == '.', c == '-', c == ' ', c == '/':
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		if at == len(plain) || plain[at] != c {
			return false
		}
		at++
	}
	return at == len(plain)
}
