package rules

const maxRules = 128
