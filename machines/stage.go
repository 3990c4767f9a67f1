package machines

// Stage is how loud a rule may be.
type Stage string

// The stages, in the order in which a rule earns them.
const (
	Shadow   Stage = "shadow"   // what it finds is kept and counted, and nobody is told
	Advise   Stage = "advise"   // a case opens, and somebody decides before a visit is planned
	Dispatch Stage = "dispatch" // a case opens, its customer is told, a visit is planned
)

// Stages lists all of them, the quietest first.
var Stages = []Stage{Shadow, Advise, Dispatch}
