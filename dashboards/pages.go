package dashboards

import (
	"slices"

	"github.com/a-h/templ"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/identity"
)

// page is one address that shows something.
type page struct {
	Path   string
	Key    string // text of its entry in the navigation, "" = not in it
	Menu   string // text of the menu that its entry stands in, "" = in none
	Params []string
	Roles  []identity.Role
	Show   func(*Site, *request) error
}

var (
	everyone = slices.Clone(identity.Roles)
	managers = []identity.Role{identity.Admin, identity.ServiceManager}
	planners = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher}
	office   = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.CallCentre}
	staff    = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.CallCentre, identity.FieldEngineer}
	callers  = []identity.Role{identity.Admin, identity.ServiceManager, identity.CallCentre}
	meeters  = []identity.Role{identity.Admin, identity.ServiceManager, identity.CustomerRepresentative}
	fielders = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer}
	movers   = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.CallCentre, identity.FieldEngineer, identity.OwnerAdmin}
	askers   = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.CallCentre, identity.OwnerAdmin}
	// subscribers manage webhooks, an owner his own.
	subscribers = []identity.Role{identity.Admin, identity.ServiceManager, identity.OwnerAdmin}
	readers     = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer, identity.OwnerAdmin}
)

// pages lists every page in the order of the navigation. Add yours here.
var pages = []page{
	{Path: "/", Roles: everyone, Show: showHome},
	{Path: "/today", Key: "nav.today", Params: []string{"show"}, Roles: office, Show: showToday},
	{Path: "/my-day", Key: "nav.my_day", Roles: []identity.Role{identity.FieldEngineer}, Show: showMyDay},
	{Path: "/callbacks", Key: "nav.callbacks", Roles: callers, Show: showCallbacks},
	{Path: "/caller", Key: "nav.caller", Params: []string{"phone"}, Roles: callers, Show: showCaller},
	{Path: "/dispatch", Key: "nav.dispatch", Roles: planners, Show: showDispatch},
	{Path: "/cases", Key: "nav.cases", Params: []string{"q", "all", "cursor"}, Roles: everyone, Show: showCases},
	{Path: "/machines", Key: "nav.machines", Params: []string{"q", "health", "kind", "cursor"}, Roles: everyone, Show: showMachines},
	{Path: "/fault-to-fix", Key: "nav.fault_to_fix", Params: []string{"days"}, Roles: managers, Show: showFaultToFix},
	{Path: "/meeting", Key: "nav.meeting", Params: []string{"month"}, Roles: meeters, Show: showMeeting},
	{Path: "/rules", Key: "nav.rules", Menu: "nav.admin", Params: []string{"from"}, Roles: managers, Show: showRules},
	{Path: "/rules/:id", Roles: managers, Show: showRule},
	{Path: "/backtests/:id", Roles: managers, Show: showBacktest},
	{Path: "/sweeps", Key: "nav.sweeps", Menu: "nav.admin", Roles: managers, Show: showSweeps},
	{Path: "/remaining-life", Key: "nav.lives", Menu: "nav.admin", Roles: managers, Show: showLives},
	{Path: "/intake", Key: "nav.intake", Menu: "nav.admin", Roles: managers, Show: showIntake},
	{Path: "/signals", Key: "nav.signals", Menu: "nav.admin", Params: []string{"q", "cursor"}, Roles: managers, Show: showSignalMachines},
	{Path: "/webhooks", Key: "nav.webhooks", Menu: "nav.admin", Roles: subscribers, Show: showWebhooks},
	{Path: "/webhooks/:id", Params: []string{"state", "cursor"}, Roles: subscribers, Show: showWebhook},
	{Path: "/webhook-deliveries/:id", Roles: subscribers, Show: showDelivery},
	{Path: "/sweeps/:id", Roles: managers, Show: showSweep},
	{Path: "/cases/:id", Roles: everyone, Show: showCase},
	{Path: "/machines/:id", Params: []string{"signal"}, Roles: everyone, Show: showMachine},
	{Path: "/machines/:id/signals", Params: []string{"device"}, Roles: managers, Show: showSignals},
	{Path: "/machines/:id/signals/preview", Params: []string{"device", "raw", "signal", "unit"}, Roles: managers, Show: showSignalPreview},
	{Path: "/unclaimed/signals", Params: []string{"key", "machine"}, Roles: managers, Show: showUnclaimedSignals},
	{Path: "/machines/:id/chart", Params: []string{"signal", "days"}, Roles: everyone, Show: showChart},
	{Path: "/work-orders/:id", Roles: everyone, Show: showWorkOrder},
	{Path: "/callbacks/:id", Roles: callers, Show: showCallback},
	{Path: "/findings/:id/bundle", Roles: everyone, Show: showBundle},
	{Path: "/photos/:id", Roles: everyone, Show: showPhoto},
}

// action is one address that changes something. API names the operation of the
// API that calls the same domain function.
type action struct {
	Path  string
	API   string
	Roles []identity.Role
	Body  int64 // limit of the form in bytes; 0 means 64 KiB
	Field int   // limit of one field in characters; 0 means 4,000
	Do    func(*request, pgx.Tx) (message string, err error)
	Alone func(*request) (message string, err error) // in place of Do: makes transactions of its own
}

// actions lists every change that a page can make.
var actions = []action{
	{Path: "/cases/:id/move", API: "move-case", Roles: movers, Do: doMoveCase},
	{Path: "/cases/:id/inform", API: "inform-owner", Roles: office, Do: doInform},
	{Path: "/cases/:id/comment", API: "comment-case", Roles: staff, Do: doComment},
	{Path: "/cases/:id/order", API: "create-work-order", Roles: planners, Do: doOrder},
	{Path: "/cases/:id/promise", API: "add-promise", Roles: office, Do: doPromise},
	{Path: "/promises/:id/settle", API: "settle-promise", Roles: office, Do: doSettle},
	{Path: "/sweeps/:id/case", API: "open-sweep-case", Roles: managers, Do: doSweepCase},
	{Path: "/sweeps/:id/looked", API: "look-at-sweep-machine", Roles: managers, Do: doLooked},
	{Path: "/machines/:id/request", API: "open-case", Roles: askers, Do: doRequest},
	{Path: "/machines/:id/inspection", API: "schedule-inspection", Roles: planners, Do: doInspection},
	{Path: "/machines/:id/reading", API: "add-reading", Roles: readers, Do: doReading},
	{Path: "/work-orders/:id/move", API: "move-work-order", Roles: fielders, Do: doMoveOrder},
	{Path: "/checklist/:id", API: "answer-checklist-item", Roles: fielders, Body: maxPhoto + maxForm, Do: doAnswer},
	{Path: "/callbacks/:id/attempt", API: "attempt-callback", Roles: callers, Do: doAttempt},
	{Path: "/dead-letters/groups/replay", API: "replay-dead-letter-group", Roles: managers, Alone: doReplayGroup},
	{Path: "/dead-letters/groups/discard", API: "discard-dead-letter-group", Roles: managers, Alone: doDiscardGroup},
	{Path: "/held-outcomes/:id/retry", API: "retry-held-outcome", Roles: managers, Do: doRetryHeld},
	{Path: "/held-outcomes/:id/discard", API: "discard-held-outcome", Roles: managers, Do: doDiscardHeld},
	{Path: "/dead-letters/:id/replay", API: "replay-dead-letter", Roles: managers, Do: doReplay},
	{Path: "/dead-letters/:id/discard", API: "discard-dead-letter", Roles: managers, Do: doDiscard},
	{Path: "/unclaimed/claim", API: "claim-device", Roles: managers, Do: doClaim},
	{Path: "/rules/add", API: "add-rule-version", Roles: managers, Body: 4 * maxPack, Field: maxPack, Do: doDraft},
	{Path: "/rules/:id/publish", API: "publish-rule-version", Roles: managers, Alone: doPublish},
	{Path: "/rules/:id/withdraw", API: "withdraw-rule-version", Roles: managers, Alone: doWithdraw},
	{Path: "/rules/:id/stage", API: "set-rule-stage", Roles: managers, Alone: doStage},
	{Path: "/alert-budgets/:id", API: "set-alert-budget", Roles: managers, Do: doAlertBudget},
	{Path: "/rules/:id/backtest", API: "start-backtest", Roles: managers, Do: doBacktest},
	{Path: "/webhooks/add", API: "add-webhook", Roles: subscribers, Do: doAddWebhook},
	{Path: "/webhooks/:id/test", API: "test-webhook", Roles: subscribers, Do: doTestWebhook},
	{Path: "/webhooks/:id/switch", API: "change-webhook", Roles: subscribers, Do: doSwitchWebhook},
	{Path: "/webhooks/:id/secret", API: "rotate-webhook-secret", Roles: subscribers, Do: doRotateWebhook},
	{Path: "/webhooks/:id/replay", API: "replay-failed-webhook-deliveries", Roles: subscribers, Do: doReplayFailed},
	{Path: "/webhooks/:id/remove", API: "remove-webhook", Roles: subscribers, Do: doRemoveWebhook},
	{Path: "/webhook-deliveries/:id/replay", API: "replay-webhook-delivery", Roles: subscribers, Do: doReplayDelivery},
	{Path: "/machines/:id/mapping", API: "put-mapping", Roles: managers, Do: doMapping},
	{Path: "/mappings/:id/delete", API: "delete-mapping", Roles: managers, Do: doUnmap},
	{Path: "/demo/advance", Roles: everyone, Do: doAdvance},
}

// Page is an address that shows something, with the parameters that it reads; a
// parameter in the path is written :name.
type Page struct {
	Path   string
	Params []string
	Roles  []identity.Role
}

// Pages lists every page.
func Pages() []Page {
	list := make([]Page, 0, len(pages))
	for _, p := range pages {
		list = append(list, Page{p.Path, slices.Clone(p.Params), slices.Clone(p.Roles)})
	}
	return list
}

// Action is a change that a page can make, the operation of the API that does the
// same ("" where there is none: the demo's clock) and who may do it.
type Action struct {
	Path, Operation string
	Roles           []identity.Role
}

// Actions lists every change that the pages can make.
func Actions() []Action {
	list := make([]Action, 0, len(actions))
	for _, a := range actions {
		list = append(list, Action{a.Path, a.API, slices.Clone(a.Roles)})
	}
	return list
}

// act runs an action and returns to the page with what happened.
func (s *Site) act(r *request, a action) error {
	if err := r.readForm(a.Body, a.Field); err != nil {
		return r.refuse(err)
	}
	var text string
	var err error
	if a.Alone != nil {
		text, err = a.Alone(r)
	} else {
		err = r.read(func(tx pgx.Tx) (err error) {
			text, err = a.Do(r, tx)
			return err
		})
	}
	if err != nil {
		return r.refuse(err)
	}
	if text != "" {
		r.flash("good", text)
	}
	s.hub.changed()
	if r.answer != nil {
		return r.answer()
	}
	return r.back()
}

// navigation is what a role can go to. A menu stands where its first page would; one
// page alone needs none.
func navigation(role identity.Role, path string) []navItem {
	var items []navItem
	who := identity.Principal{Role: role}
	for _, p := range pages {
		if p.Key == "" || !who.Has(p.Roles...) {
			continue
		}
		item := navItem{Path: p.Path, Key: p.Key, Current: path == p.Path}
		if p.Menu == "" {
			items = append(items, item)
			continue
		}
		at := slices.IndexFunc(items, func(i navItem) bool { return i.Key == p.Menu })
		if at < 0 {
			at = len(items)
			items = append(items, navItem{Key: p.Menu})
		}
		items[at].Items = append(items[at].Items, item)
		items[at].Current = items[at].Current || item.Current
	}
	for i := range items {
		if len(items[i].Items) == 1 {
			items[i] = items[i].Items[0]
		}
	}
	return items
}

// home is the first page of a role.
func home(role identity.Role) string {
	switch role {
	case identity.FieldEngineer:
		return "/my-day"
	case identity.Dispatcher:
		return "/dispatch"
	case identity.CallCentre:
		return "/callbacks"
	case identity.OwnerAdmin, identity.OwnerViewer:
		return "/machines"
	case identity.CustomerRepresentative:
		return "/meeting"
	default:
		return "/today"
	}
}

func htmlLang(language string) string {
	if language == "zh" {
		return "zh-CN"
	}
	return "en"
}

func sse(v view) templ.Attributes {
	if !v.SignedIn {
		return nil
	}
	return templ.Attributes{"sse-connect": "/events"}
}
