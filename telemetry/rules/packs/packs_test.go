package packs

import (
	"slices"
	"testing"
	"unicode"

	"github.com/thirdstate/thirdstate/telemetry/rules"
)

func all(t *testing.T) map[string]*rules.Pack {
	t.Helper()
	packs, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return packs
}

func TestPacks_ServeTheModelsOfTheTrade(t *testing.T) {
	t.Parallel()
	packs := all(t)
	for _, model := range []string{"BC5430THB-56", "BC5230THB-37", "BE215", "BE365", "KF132", "GS500"} {
		if packs[model] == nil {
			t.Errorf("no pack for %s", model)
		}
	}
}

func TestPacks_SayWhatEverySignalIs(t *testing.T) {
	t.Parallel()
	for model, pack := range all(t) {
		for _, s := range pack.Signals {
			if s.Label == "" || !chinese(s.LabelZH) {
				t.Errorf("%s: signal %s has no label in both languages", model, s.Name)
			}
			if s.Low == nil || s.High == nil {
				t.Errorf("%s: signal %s: what is plausible?", model, s.Name)
			}
		}
	}
}

func TestPacks_SayWhatToDoAboutEveryFailureMode(t *testing.T) {
	t.Parallel()
	for model, pack := range all(t) {
		for i := range pack.Rules {
			r := &pack.Rules[i]
			where := model + " " + r.ID
			if !chinese(r.TitleZH) || chinese(r.Title) {
				t.Errorf("%s: titles are in the wrong language", where)
			}
			if r.Component == "" || len(r.FirstChecks) == 0 {
				t.Errorf("%s: which component is it, and what is checked first?", where)
			}
			if r.Kind == "silence" {
				if r.Severity != rules.Info {
					t.Errorf("%s: silence is not a fault, and sends nobody", where)
				}
				continue
			}
			if len(r.Causes) == 0 || len(r.Skills) == 0 || r.Hold <= 0 || r.Clear <= 0 || r.Verify.RegimeHours <= 0 {
				t.Errorf("%s: causes, skills, hold, clear or the verification is missing", where)
			}
			for _, text := range slices.Concat(r.Causes, r.FirstChecks) {
				if !chinese(text.ZH) || chinese(text.EN) {
					t.Errorf("%s: %q is in the wrong language", where, text)
				}
			}
			if r.Kind == "deviation" && (r.Verify.MaxEffect <= 0 || r.Verify.MaxEffect >= r.MinEffect) {
				t.Errorf("%s: what may remain after a repair must be below what is found", where)
			}
		}
	}
}

func TestPacks_KnowTheFaultsOfTheTrade(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	kinds := map[string]bool{}
	for _, pack := range all(t) {
		for i := range pack.Rules {
			found[pack.Rules[i].FailureMode] = true
			kinds[pack.Rules[i].Kind] = true
		}
	}
	for _, mode := range []string{
		"fouled_cooler", "worn_wear_plate", "bearing", "injector", "hydraulic_leak", "air_leak", "coolant_leak",
		"blocked_filter", "blocked_air_filter", "blocked_separator", "imbalance", "sensor_failure", "no_data",
	} {
		if !found[mode] {
			t.Errorf("no rule finds %s", mode)
		}
	}
	for _, kind := range []string{"threshold", "deviation", "rate", "silence", "stuck"} {
		if !kinds[kind] {
			t.Errorf("no rule of kind %s", kind)
		}
	}
}

// One matter, one case: findings of one machine meet in a case by their failure
// mode, so a mode must not stand for two components.
func TestPacks_FailureModeMeansOneComponent(t *testing.T) {
	t.Parallel()
	for model, pack := range all(t) {
		component := map[string]string{}
		for i := range pack.Rules {
			r := &pack.Rules[i]
			if c, ok := component[r.FailureMode]; ok && c != r.Component {
				t.Errorf("%s: %s means %s and %s", model, r.FailureMode, c, r.Component)
			}
			component[r.FailureMode] = r.Component
		}
	}
}

func chinese(text string) bool {
	for _, r := range text {
		if unicode.Is(unicode.Han, r) {
			return true
		}
	}
	return false
}

// TestPacks_ANewSettingRestartsNoRule holds hashes from before the newest settings were
// there: a rule that does not use them must go on over the update, with its findings.
func TestPacks_ANewSettingRestartsNoRule(t *testing.T) {
	t.Parallel()
	pack := all(t)["BE365"]
	for id, want := range map[string]string{"oil-overheated": "5facc86f55942ce6", "oil-running-hot": "aa16e5be6caf049c", "oil-temp-sensor": "14706e61b9dc1132"} {
		if r, ok := pack.Rule(id); !ok || r.Hash() != want {
			t.Errorf("rule %s has hash %s, had %s: a new setting needs omitempty in rule.go; a rule that is meant to change needs its new hash here", id, r.Hash(), want)
		}
	}
}
