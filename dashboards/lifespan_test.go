package dashboards

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
	"github.com/thirdstate/thirdstate/telemetry/history"
	"github.com/thirdstate/thirdstate/telemetry/lifespan"
)

const unlikeSQL = `UPDATE remaining_life SET remaining = NULL, low = NULL, high = NULL, said_at = NULL, reason = 'unlike', from_new = false WHERE machine_id = @id`

// What remains is on the machine's page, with its interval, or why nobody says; a list has
// the shortest first, and names a model
// that cannot be read; what was said by it before stays.
func TestRemainingLife_IsShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	shelf := &lifespan.Shelf{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	if err := os.WriteFile(filepath.Join(shelf.Dir, "BC56.life"), []byte("scrap"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.site.Lives = shelf
	d.do(func(ctx context.Context, tx pgx.Tx) error {
		_, err := postgres.Run(ctx, tx, unlikeSQL, pgx.NamedArgs{"id": d.b.Machine.ID})
		return err
	})
	keeper := lifespan.Keeper{Pool: d.w.Pool, Clock: clock.New(maintenancetest.Now, 0, nil), Log: shelf.Log, History: history.NewPostgres(d.w.Pool), Shelf: shelf}
	if _, err := keeper.Round(t.Context(), maintenancetest.Now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for language, want := range map[string]struct{ left, unlike, fault string }{
		"en": {"about 340 h left (210 to 520 h, 80\u00a0%)", "unlike the machines that were learnt from", "Not as it should be"},
		"zh": {"约剩 340 小时（210 至 520 小时，80\u00a0%）", "与所学设备不同", "有问题"},
	} {
		b := d.signIn(d.person(identity.ServiceManager), language)
		list := visible(text(b.get("/remaining-life")))
		if left, unlike := strings.Index(list, want.left), strings.Index(list, want.unlike); left < 0 || unlike < left || !strings.Contains(list, want.fault) || !strings.Contains(list, "BC56") {
			t.Errorf("the list:\n%s", list)
		}
		if page := visible(text(b.get("/machines/" + d.a.Machine.ID.String()))); !strings.Contains(page, want.left) {
			t.Errorf("the machine's page does not say %q:\n%s", want.left, page)
		}
		if page := visible(text(b.get("/machines/" + d.b.Machine.ID.String()))); !strings.Contains(page, want.unlike) {
			t.Errorf("the machine's page does not say %q:\n%s", want.unlike, page)
		}
	}
}

func TestRemainingLife_HasAWordForEachReason(t *testing.T) {
	t.Parallel()
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"zh", "en"} {
		v := view{texts: texts, Language: language}
		for _, reason := range lifespan.Reasons() {
			if !v.has("lives.reason." + reason) {
				t.Errorf("%s has no text in %s", reason, language)
			}
		}
	}
}
