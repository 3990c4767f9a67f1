package telemetry

import (
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/telemetry/formats"
	"github.com/thirdstate/thirdstate/telemetry/intakelog"
	"github.com/thirdstate/thirdstate/telemetry/observation"
	"github.com/thirdstate/thirdstate/telemetry/silence"
)

// maxCopy is how much of a refused or unclaimed payload is kept, in bytes.
const maxCopy = 64 << 10

// Batch is a stretch of the intake log, decoded: the records after From up to
// and including To. It is shared by its readers and must not be changed.
type Batch struct {
	From, To     intakelog.LSN
	Observations []Located
	Ticks        []Tick
	Cohorts      []LocatedCohort
	Presences    []LocatedPresence
	Links        []LocatedLink
	Numbers      []LocatedNumber
	Troubles     []LocatedTrouble
	Frames       []LocatedFrame
	Dead         []DeadLetter
	Unclaimed    []UnclaimedMessage
	Records      []RecordParts        // one a record, in log order
	Devices      map[string]time.Time // when devices that had signed in were heard last
	Counts       Counts
}

// Located is an observation whose machine is known.
type Located struct {
	LSN       intakelog.LSN
	MachineID uuid.UUID
	MachineNo int    // number of the machine in the history
	Model     string // name of its model, "" without one
	Pack      string // name of the rule pack that watches it, "" without one
	Near
	Origin *Origin // in the log of the edge that forwarded it, shared by all that its record holds; nil = none has
	observation.Observation
}

// Tick is a point of the event time grid: nothing that is due later can change
// what was before it. Excused says that silence before it has a reason of ours.
type Tick struct {
	LSN     intakelog.LSN
	At      time.Time
	Excused bool
}

// LocatedCohort is how the machines of a kind stood to one another, as it was written
// down: what reads it knows what it says.
type LocatedCohort struct {
	LSN     intakelog.LSN
	Payload []byte
}

// Near is what a machine shares with others, so that they may fall silent together.
type Near struct {
	Site uuid.UUID // zero without one
	Via  string    // the gateway, edge or edge node that its messages come by; else the device, "" for nobody
}

// LocatedPresence is a sender's word that a known machine is connected or not.
type LocatedPresence struct {
	LSN       intakelog.LSN
	MachineID uuid.UUID
	Machine   string
	Pack      string // name of the rule pack that watches it, "" without one
	Near
	Online bool
	Leave  silence.Leave // how it went, when it is not
	At     time.Time
}

// LocatedLink is the end of a connection: of one that all came over who are heard by
// Via, and of the machines that it has named.
type LocatedLink struct {
	LSN      intakelog.LSN
	Via      string
	Machines []string // keys
	Leave    silence.Leave
}

// LocatedNumber is a message of a known machine by its place in the sender's count.
type LocatedNumber struct {
	LSN       intakelog.LSN
	MachineID uuid.UUID
	Boot      string
	Seq       uint64
	At        time.Time // when it was received
}

// LocatedTrouble is what a message says of the trouble codes of a known machine.
type LocatedTrouble struct {
	LSN       intakelog.LSN
	MachineID uuid.UUID
	Key       string // of the machine
	formats.Trouble
}

// LocatedFrame is a part of a longer message of a known machine's bus.
type LocatedFrame struct {
	LSN       intakelog.LSN
	MachineID uuid.UUID
	Key       string // of the machine
	formats.Frame
}

// UnclaimedMessage is a message about a machine that nobody has entered yet.
type UnclaimedMessage struct {
	LSN      intakelog.LSN
	Key      string // the name that the sender used
	Received time.Time
	Device   string // the device that had signed in
	Topic    string
	Payload  []byte // at most 64 KiB of it
	Cut      bool   // there is more of it, so that it could not be replayed
	Signals  []string
}

// RecordParts says what one record of the log became.
type RecordParts struct {
	LSN          intakelog.LSN
	Observations int32
	Unclaimed    int32
	Known        int32 // unclaimed too, and kept already before a replay
	Dead         int32
	Tick         bool    // a tick or cohort record: written by the program itself
	Replay       bool    // written again after a person asked for it
	Origin       *Origin // in the log of the edge that forwarded it; nil = none has
}

// Counts of a batch; readings are single values.
type Counts struct {
	Messages    int
	Ticks       int
	Readings    int
	Attributes  int
	TextNumbers int
	Unread      int // values that the sender itself could not read
	Ahead       int // observations whose device clock was ahead
}
