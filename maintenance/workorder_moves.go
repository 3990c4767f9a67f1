package maintenance

import (
	"slices"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
)

// orderStep is a row of the table of moves of a work order. A field engineer may
// take a step of his own orders only.
type orderStep struct {
	from []WorkOrderState
	to   WorkOrderState
	by   []identity.Role
	when machines.Text
}

// orderSteps is the one table of moves of a work order. A new move is a row here
// and nothing else; docs/states.md is drawn from it.
var orderSteps = []orderStep{
	{[]WorkOrderState{OrderOpen}, OrderDispatched, byPlanners, machines.Text{ZH: "派工", EN: "assigned to an engineer"}},
	{[]WorkOrderState{OrderDispatched, OrderAccepted}, OrderOpen, byEngineers, machines.Text{ZH: "拒单、退单或10分钟未接", EN: "declined, handed back or not accepted in 10 minutes"}},
	{[]WorkOrderState{OrderDispatched}, OrderAccepted, byEngineers, machines.Text{ZH: "接单", EN: "accepted"}},
	{[]WorkOrderState{OrderAccepted}, OrderEnRoute, byEngineers, machines.Text{ZH: "出发", EN: "sets off"}},
	{[]WorkOrderState{OrderAccepted, OrderEnRoute}, OrderOnSite, byEngineers, machines.Text{ZH: "到场", EN: "arrives, or is there already"}},
	{[]WorkOrderState{OrderOnSite}, OrderCompleted, byEngineers, machines.Text{ZH: "完工", EN: "work done"}},
	{[]WorkOrderState{OrderAccepted, OrderEnRoute, OrderOnSite}, OrderCannotComplete, byEngineers, machines.Text{ZH: "无法完成，剩余项另开单", EN: "abnormal end; what is left goes to a follow-up"}},
	{[]WorkOrderState{OrderOpen, OrderDispatched, OrderAccepted, OrderEnRoute, OrderOnSite}, OrderCancelled, byPlanners, machines.Text{ZH: "取消并说明理由", EN: "called off with a reason"}},
}

// OrderStates lists every state of a work order in the order of its way.
var OrderStates = []WorkOrderState{OrderOpen, OrderDispatched, OrderAccepted, OrderEnRoute, OrderOnSite, OrderCompleted, OrderCannotComplete, OrderCancelled}

// orderStepOf finds the row that lets an order go from a state to another, or nil.
func orderStepOf(from, to WorkOrderState) *orderStep {
	for i, row := range orderSteps {
		if row.to == to && slices.Contains(row.from, from) {
			return &orderSteps[i]
		}
	}
	return nil
}

func (s *orderStep) mayTake(role identity.Role) bool {
	return role == identity.System || slices.Contains(s.by, role)
}

// ownOrder says whether who may touch an order at all: a field engineer his own.
func ownOrder(who identity.Principal, o WorkOrder) bool {
	return who.Role != identity.FieldEngineer ||
		who.TechnicianID != uuid.Nil && o.TechnicianID != nil && *o.TechnicianID == who.TechnicianID
}

// nextOrderStates are the states that who may move an order to now.
func nextOrderStates(who identity.Principal, o WorkOrder) []WorkOrderState {
	next := []WorkOrderState{}
	if !ownOrder(who, o) {
		return next
	}
	for _, to := range OrderStates {
		if step := orderStepOf(o.State, to); step != nil && step.mayTake(who.Role) {
			next = append(next, to)
		}
	}
	return next
}

// Ended says whether an order is over.
func (s WorkOrderState) Ended() bool {
	return s == OrderCompleted || s == OrderCannotComplete || s == OrderCancelled
}

// Text names the state in both languages.
func (s WorkOrderState) Text() machines.Text {
	for _, n := range orderNames {
		if n.state == s {
			return n.text
		}
	}
	return machines.Text{ZH: string(s), EN: string(s)}
}

type orderName struct {
	state WorkOrderState
	text  machines.Text
}

var orderNames = []orderName{
	{OrderOpen, machines.Text{ZH: "待派工", EN: "open"}},
	{OrderDispatched, machines.Text{ZH: "待接单", EN: "dispatched"}},
	{OrderAccepted, machines.Text{ZH: "已接单", EN: "accepted"}},
	{OrderEnRoute, machines.Text{ZH: "在途", EN: "en route"}},
	{OrderOnSite, machines.Text{ZH: "已到场", EN: "on site"}},
	{OrderCompleted, machines.Text{ZH: "已完工", EN: "completed"}},
	{OrderCannotComplete, machines.Text{ZH: "未能完成", EN: "could not be completed"}},
	{OrderCancelled, machines.Text{ZH: "已取消", EN: "cancelled"}},
}

type orderKind struct {
	name string
	text machines.Text
}

// orderKinds lists the kinds of work.
var orderKinds = []orderKind{
	{"inspection", machines.Text{ZH: "检查", EN: "Inspection"}},
	{"maintenance", machines.Text{ZH: "保养", EN: "Maintenance"}},
	{"repair", machines.Text{ZH: "维修", EN: "Repair"}},
	{"patrol", machines.Text{ZH: "巡检", EN: "Patrol inspection"}},
	{"special", machines.Text{ZH: "专项服务", EN: "Special visit"}},
	{"remote", machines.Text{ZH: "远程指导", EN: "Remote guidance"}},
}

func kindText(kind string) (machines.Text, bool) {
	i := slices.IndexFunc(orderKinds, func(k orderKind) bool { return k.name == kind })
	if i < 0 {
		return machines.Text{}, false
	}
	return orderKinds[i].text, true
}
