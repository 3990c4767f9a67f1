package formats

import (
	"fmt"
	"runtime"
	"strings"
)

// maxCrash bounds what is told of a panic, in bytes: its text may hold the message.
const maxCrash = 200

// Contain does what may panic over one message, and gives the panic back as a
// Fault that says what failed and where; nil when nothing did. The program is to
// blame and not the message, which is why it is kept and can be replayed after a
// fix. What do has changed by then is the caller's to undo.
func Contain(do func()) (crash *Fault) {
	defer func() {
		if r := recover(); r != nil {
			said := strings.ToValidUTF8(fmt.Sprint(r), "�")
			if len(said) > maxCrash {
				said = strings.ToValidUTF8(said[:maxCrash], "") + " …"
			}
			crash = &Fault{Reason: Crashed, Detail: "the program failed over this message (" + said + ") at " + failedAt()}
		}
	}()
	do()
	return nil
}

// failedAt is the line that panicked; called by the function that recovers.
func failedAt() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", short(frame.File), frame.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// short is a file with its folder: where the program was built is nobody's business.
func short(file string) string {
	parts := strings.Split(file, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}
