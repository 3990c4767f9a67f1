// Package gate decides which rules may speak, and how loudly: it keeps packs that
// people write, judges them on the stored history, lets no pack in force without a
// report that passes and a second person, and takes a stage from a rule whose flags
// are judged false. It knows rules, histories and verdicts; what people do about a
// finding it must not know.
package gate
