package main

import (
	"strings"
	"testing"

	"github.com/thirdstate/thirdstate/internal/identity"
)

// TestBrowser_OwnerDecidesOnHisPhone holds that an owner who is told puts the matter
// off, comes back and chooses the time with one touch each, without scrolling, and
// that the dispatcher finds the order.
func TestBrowser_OwnerDecidesOnHisPhone(t *testing.T) {
	t.Parallel()
	p, w, browser := inBrowser(t)
	page := "/cases/" + w.A.Request.ID.String()

	manager := newTab(t, browser, p.url, "manager", false)
	manager.signIn(w.Staff[identity.ServiceManager])
	manager.language("zh")
	manager.open(page)
	manager.press("判断属实")
	manager.press("告知机主")

	owner := newTab(t, browser, p.url, "owner", true)
	owner.signIn(w.A.People[identity.OwnerAdmin])
	owner.language("zh")
	owner.open(page)
	if !ask[bool](owner, `document.querySelector("main button[name=visit_at]").getBoundingClientRect().bottom < innerHeight`) {
		t.Errorf("the first choice is not on the first screen:\n%s", owner.page())
	}
	if faults := owner.look(48); len(faults) > 0 {
		t.Errorf("the owner's choice on the phone: %s", strings.Join(faults, "\n"))
	}
	owner.press("先不处理")
	owner.sees("我们 3 天后再问您", "风险：")
	owner.press("现在就安排")
	owner.language("en")
	owner.press("19:30")
	owner.sees("Agreed:", "The operator is told the same")

	dispatcher := newTab(t, browser, p.url, "dispatcher", false)
	dispatcher.signIn(w.Staff[identity.Dispatcher])
	dispatcher.language("zh")
	dispatcher.open("/dispatch")
	dispatcher.sees("待派工 1", "19:30")
}
