package dashboards

import (
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

const (
	lettersSQL = `INSERT INTO dead_letter (log, lsn, received_at, source, topic, device, payload, payload_bytes, reason, detail, decoder)
		SELECT @id, n, @at, 'embedded', 'fleet/PM1/telemetry', 'PM1', '{', 1, 'E_PANIC', 'cut', 'own-json' FROM generate_series(1, 120) AS n`
	heldSQL = `INSERT INTO held_outcome (machine_id, machine_key, since, kept, changes, reason, detail, log, lsn, next_try_at)
		VALUES (@id, @key, @at, '{}', 3, 'E_REFUSED', 'a check of ours', @id, 7, @at)`
)

// Each reason that telemetry gives for a dead letter is said in words, in each language.
func TestLetters_SayEachReasonInWords(t *testing.T) {
	t.Parallel()
	reason := regexp.MustCompile(`= +"(E_[A-Z0-9_]*[A-Z0-9])"`)
	reasons := map[string]bool{}
	err := fs.WalkDir(os.DirFS("../telemetry"), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile("../telemetry/" + path)
		for _, found := range reason.FindAllSubmatch(b, -1) {
			reasons[string(found[1])] = true
		}
		return err
	})
	all, failed := loadTexts()
	if err != nil || failed != nil || len(reasons) < 40 {
		t.Fatalf("%d reasons, %v, %v", len(reasons), err, failed)
	}
	for lang, words := range all.known {
		for reason := range reasons {
			if words["dead_letter."+reason] == "" {
				t.Errorf("%s: no words for %s", lang, reason)
			}
		}
	}
}

// A service manager settles a whole group of dead letters with one button, and sees
// on the page and on the machine's what the records refuse of a machine.
func TestIntake_SettlesGroupsAndShowsWhatIsHeld(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	machine := d.a.Machine
	err := postgres.As(t.Context(), d.site.Pool, identity.Program("test"), func(tx pgx.Tx) error {
		args := pgx.NamedArgs{"id": machine.ID, "key": machine.Key, "at": maintenancetest.Now}
		if _, err := tx.Exec(t.Context(), lettersSQL, args); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), heldSQL, args)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func(lang, path string, wanted ...string) {
		t.Helper()
		w := d.signIn(d.w.Staff[identity.ServiceManager], lang).get(path)
		page := visible(text(w))
		for _, text := range wanted {
			if w.Code != http.StatusOK || !strings.Contains(page, text) {
				t.Errorf("%s: %d, the page does not say %q: %s", path, w.Code, text, page)
			}
		}
	}
	look("en", "/intake", "Dead letters: 120", "messages: 120", "devices: 1", "Replay all", "Machines of which findings are not stored: 1", machine.Key, "3 changes wait", "a check of ours")
	look("zh", "/intake", "死信 120", "全部重放", "未入档的发现：1 台设备", "3 条变更等待中")
	look("en", "/machines/"+machine.ID.String(), "findings are not stored", "3 changes wait")
	owner := visible(text(d.signIn(d.a.People[identity.OwnerAdmin], "en").get("/machines/" + machine.ID.String())))
	if strings.Contains(owner, "not stored") {
		t.Error("an owner reads of our troubles")
	}
	manager := d.signIn(d.w.Staff[identity.ServiceManager], "en")
	w := manager.post("/dead-letters/groups/discard", url.Values{"source": {"embedded"}, "decoder": {"own-json"}, "reason": {"E_PANIC"}, "why": {"a test bench"}})
	if w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", w.Code, text(w))
	}
	if page := visible(text(manager.get("/intake"))); !strings.Contains(page, "120 letters discarded.") || !strings.Contains(page, "Every message could be read.") {
		t.Errorf("%s", page)
	}
	if w := manager.post("/held-outcomes/"+uuid.NewString()+"/retry", nil); w.Code == http.StatusInternalServerError {
		t.Errorf("%d %s", w.Code, text(w))
	}
}
