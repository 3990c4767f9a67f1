package api

// resources lists every resource in the order of the reference. Add yours here.
var resources = []func(*Server){
	customers, sites, contacts, models, signals,
	machineFiles, components, observations, readings, findings, troubleCodes, silences, lifespans,
	cases, sweeps, inspections, workOrders, attachments, plans,
	technicians, callbacks, complaints, promises,
	overviews, rulePacks, ruleVersions, backtests, alertBudgets,
	deadLetters, heldOutcomes, unclaimed, mappings, devices, intakeAccount, reconciliation, sequenceGaps,
	users, tokens, subscriptions, audits, programClock,
}
