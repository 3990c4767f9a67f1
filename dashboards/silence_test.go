package dashboards

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/silence"
)

// The words in which detection decides are those of the records and of the pages, in
// both languages.
func TestSilence_HasOneListOfWords(t *testing.T) {
	t.Parallel()
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	for cause, word := range map[silence.Cause]string{silence.Off: machines.Off, silence.NoCoverage: machines.NoCoverage, silence.Unknown: machines.Silent} {
		if string(cause) != word {
			t.Errorf("%s is %s in the records", cause, word)
		}
	}
	for _, language := range []string{"zh", "en"} {
		v := view{texts: texts, Language: language}
		for _, reason := range silence.Reasons() {
			if !v.has("silence.why." + string(reason)) {
				t.Errorf("%s has no text in %s", reason, language)
			}
		}
	}
}

// The machine's page and the list of machines say what a silent machine is and why it
// is held to be so; the page also what was thought of it before.
func TestSilence_IsShownWithItsReasons(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	since := maintenancetest.Now.Add(-2 * time.Hour)
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		return machines.NoteSilences(ctx, tx, maintenancetest.Now, maintenancetest.Program, []machines.Silence{{MachineID: d.a.Machine.ID, Since: since, NoticedAt: since.Add(15 * time.Minute),
			Cause: machines.NoCoverage, FirstCause: machines.Silent, Why: []string{"at_work", "with_site"}}})
	})
	for language, want := range map[string][]string{
		"en": {"no coverage", "it was working until then; others at its site fell silent with it", "thought at first: silent, cause unknown"},
		"zh": {"无信号", "最后数据：正在工作；同工地其他设备同时中断", "最初判断：无数据，原因不明"},
	} {
		b := d.signIn(d.person(identity.ServiceManager), language)
		for path, n := range map[string]int{"/machines/" + d.a.Machine.ID.String(): 3, "/machines": 2} {
			page := visible(text(b.get(path)))
			for _, say := range want[:n] {
				if !strings.Contains(page, say) {
					t.Errorf("%s does not say %q:\n%s", path, say, page)
				}
			}
		}
	}
}
