package telemetry

import (
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
)

// maxCopy is how much of a refused or unclaimed payload is kept, in bytes.
const maxCopy = 64 << 10

// Batch is a stretch of the intake log, decoded: the records after From up to
// and including To. It is shared by its readers and must not be changed.
type Batch struct {
	From, To     intakelog.LSN
	Observations []Located
	Ticks        []Tick
	Presences    []LocatedPresence
	Dead         []DeadLetter
	Unclaimed    []Unclaimed
	Records      []RecordParts // one a record, in log order
	Counts       Counts
}

// Located is an observation whose machine is known.
type Located struct {
	LSN       intakelog.LSN
	MachineID uuid.UUID
	MachineNo int    // number of the machine in the history
	Model     string // name of its model, "" without one
	observation.Observation
}

// Tick is a point of the event time grid: nothing that is due later can change
// what was before it. Excused says that silence before it has a reason of ours.
type Tick struct {
	LSN     intakelog.LSN
	At      time.Time
	Excused bool
}

// LocatedPresence is a sender's word that a known machine is connected or not.
type LocatedPresence struct {
	LSN       intakelog.LSN
	MachineID uuid.UUID
	Machine   string
	Online    bool
	At        time.Time
}

// DeadLetter is a message, or part of one, that could not be used.
type DeadLetter struct {
	LSN          intakelog.LSN
	Part         int // 0 for the whole message, else the number of the refused part
	Received     time.Time
	Source       string
	Topic        string
	Device       string
	Payload      []byte // at most 64 KiB of it
	PayloadBytes int
	Fault        Fault
	Decoder      string
}

// Unclaimed is a message about a machine that nobody has entered yet.
type Unclaimed struct {
	LSN      intakelog.LSN
	Key      string // the name that the sender used
	Received time.Time
	Topic    string
	Payload  []byte // at most 64 KiB of it
	Signals  []string
}

// RecordParts says what one record of the log became.
type RecordParts struct {
	LSN          intakelog.LSN
	Observations int32
	Unclaimed    int32
	Dead         int32
	Tick         bool // a tick or cohort record: written by the program itself
}

// Counts of a batch; readings are single values.
type Counts struct {
	Messages    int
	Ticks       int
	Readings    int
	Attributes  int
	TextNumbers int
	Ahead       int // observations whose device clock was ahead
}
