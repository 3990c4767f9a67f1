package dashboards

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
)

// An owner puts a matter off with one touch, comes back and chooses the time; the
// office notes a promise about it and says what became of it.
func TestOwner_ChoosesWithOneTouch(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	manager, owner := d.signIn(d.w.Staff[identity.ServiceManager], "zh"), d.signIn(d.a.People[identity.OwnerAdmin], "zh")
	page := "/cases/" + d.a.Request.ID.String()
	want(t, "triage", manager.act(page, page+"/move", url.Values{"to": {"triaged"}}), "good", "已更新")
	if shown := text(manager.get(page)); !strings.Contains(shown, "【设备服务】") {
		t.Error("the manager does not see the message before it is sent")
	}
	want(t, "tell the owner", manager.act(page, page+"/inform", url.Values{"contact": {d.a.Owner.ID.String()}}), "good", "已告知")
	if shown := text(owner.get(page)); strings.Count(shown, `name="visit_at"`) != 2 || !strings.Contains(shown, "先不处理") || strings.Contains(shown, "机主先不处理") {
		t.Error("the owner does not find his three buttons")
	}
	want(t, "not now", owner.act(page, page+"/move", url.Values{"to": {"deferred"}, "days": {"3"}}), "good", "我们 3 天后再问您；风险：")
	want(t, "after all", owner.act(page, page+"/move", url.Values{"to": {"informed"}}), "good", "已更新")
	want(t, "no time", owner.act(page, page+"/move", url.Values{"to": {"planned"}}), "refused", "")
	at := d.clock.Now().In(zone).AddDate(0, 0, 1).Format("2006-01-02") + "T19:30"
	want(t, "tomorrow evening", owner.act(page, page+"/move", url.Values{"to": {"planned"}, "visit_at": {at}}), "good", "已约好：明晚 19:30")
	want(t, "no day", manager.act(page, page+"/promise", url.Values{"text": {"带件到场"}, "person": {"x"}}), "refused", "时间")
	want(t, "a promise", manager.act(page, page+"/promise", url.Values{"text": {"带件到场"}, "person": {"x"}, "due": {at}}), "good", "已登记")
	_, form, found := strings.Cut(text(manager.get(page)), `action="/promises/`)
	id, _, _ := strings.Cut(form, "/")
	if !found {
		t.Fatal("the page does not show the promise")
	}
	want(t, "kept", manager.act(page, "/promises/"+id+"/settle", url.Values{"state": {"kept"}}), "good", "已兑现")
	want(t, "twice", manager.act(page, "/promises/"+id+"/settle", url.Values{"state": {"broken"}}), "refused", "")
}

// Who did something is written as the reader writes.
func TestNames_AreInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	who := d.w.Staff[identity.ServiceManager]
	page := "/cases/" + d.a.Request.ID.String()
	d.signIn(who, "zh").act(page, page+"/move", url.Values{"to": {"triaged"}})
	en, err := d.site.names.english(t.Context(), d.site.Pool, d.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if en[d.a.Owner.Name] == "" || en["nobody"] != "" {
		t.Errorf("%v", en)
	}
	v := view{texts: d.site.texts, Language: "en", people: map[string]string{"王倩": "Wang Qian"}}
	for name, want := range map[string]string{"王倩": "Wang Qian", "detection": v.T("actor.detection"), "某人": "某人"} {
		if got := v.Actor(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestCover_SaysUntilWhenAndHowFar(t *testing.T) {
	t.Parallel()
	texts, err := loadTexts()
	if err != nil {
		t.Fatal(err)
	}
	handed, hours := time.Date(2025, 1, 8, 0, 0, 0, 0, time.UTC), 3212.4
	m := machines.Machine{HandedOverOn: &handed, WarrantyMonths: 12, WarrantyHours: 2000, OperatingHours: &hours}
	v := view{texts: texts, Language: "en", Now: time.Date(2026, 6, 4, 0, 0, 0, 0, time.UTC), Zone: zone}
	if got := v.cover(m); got != "Machine warranty 12 months / 2,000 h: ended (until 8 Jan 2026; meter 3,212 h)" {
		t.Error(got)
	}
	hours = 900
	if v.Now = handed.AddDate(0, 6, 0); !strings.Contains(v.cover(m), "covered") {
		t.Error(v.cover(m))
	}
	if got := v.cover(machines.Machine{}); got != "" {
		t.Error(got)
	}
}

func TestPhone_IsMasked(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{"+8613807340417": "138****0417", "+491715550100": "+4917****0100", "110": "110"} {
		if got := Phone(number); got != want {
			t.Errorf("%s is %s, want %s", number, got, want)
		}
	}
}

func TestMyDay_BeginsWithWhatHasToBeAccepted(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 4, 13, 30, 0, 0, zone)
	early := at.Add(-time.Hour)
	row := func(number int64, state maintenance.WorkOrderState, planned *time.Time) maintenance.WorkOrderRow {
		return maintenance.WorkOrderRow{WorkOrder: maintenance.WorkOrder{Number: number, State: state, PlannedAt: planned}}
	}
	list := []maintenance.WorkOrderRow{row(5, maintenance.OrderAccepted, nil), row(4, maintenance.OrderAccepted, &at), row(3, maintenance.OrderAccepted, &early),
		row(2, maintenance.OrderOnSite, &at), row(1, maintenance.OrderDispatched, &at)}
	slices.SortStableFunc(list, inOrderOfTheDay)
	for i, o := range list {
		if o.Number != int64(i+1) {
			t.Errorf("place %d has order %d", i+1, o.Number)
		}
	}
	waits := maintenance.WorkOrder{State: maintenance.OrderDispatched, DispatchedAt: &at}
	if by, ok := waits.AcceptBy(); !ok || !by.Equal(at.Add(10*time.Minute)) {
		t.Errorf("to be accepted by %v %v", by, ok)
	}
}

func TestPressing_PutsFirstWhatSomebodyHasToDo(t *testing.T) {
	t.Parallel()
	row := func(state maintenance.CaseState, severity machines.Severity, down bool) maintenance.CaseRow {
		return maintenance.CaseRow{Case: maintenance.Case{State: state, Severity: severity, MachineDown: down}}
	}
	last := -1
	for _, c := range []maintenance.CaseRow{row(maintenance.Planned, machines.Alarm, true), row(maintenance.Open, machines.Alarm, false), row(maintenance.Informed, machines.Warning, false),
		row(maintenance.Open, machines.Advice, false), row(maintenance.Waiting, machines.Warning, false), row(maintenance.AwaitingCallback, machines.Alarm, true)} {
		if now := pressing(c); now <= last {
			t.Errorf("%s %s down=%v has place %d after %d", c.State, c.Severity, c.MachineDown, now, last)
		} else {
			last = now
		}
	}
}
