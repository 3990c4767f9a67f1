package maintenance

import (
	"slices"

	"github.com/thirdstate/thirdstate/internal/identity"
	"github.com/thirdstate/thirdstate/machines"
)

// caseStep is a row of the table of moves: from these states to that one, by
// these roles. The program itself may take every step that stands in the table.
type caseStep struct {
	from []CaseState
	to   CaseState
	by   []identity.Role
	when machines.Text // what it means, for the state diagram
}

// previous stands for the state in which a waiting case began to wait.
const previous CaseState = "previous"

// Who may take a step. Customers decide about their own machine and nothing else;
// satisfied is never pressed by staff, it is what a customer said.
var (
	byManagers  = []identity.Role{identity.Admin, identity.ServiceManager}
	byPlanners  = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher}
	byCallers   = []identity.Role{identity.Admin, identity.ServiceManager, identity.CallCentre}
	byOffice    = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.CallCentre}
	byEngineers = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer}
	byStaff     = []identity.Role{identity.Admin, identity.ServiceManager, identity.Dispatcher, identity.FieldEngineer, identity.CallCentre}
	byOwner     = []identity.Role{identity.OwnerAdmin}
)

// liveCases are the states of a case that may be made to wait.
var liveCases = []CaseState{Open, Triaged, Informed, Planned, InWork, Verifying, AwaitingCallback, Satisfied, RemoteGuidance, Deferred}

// caseSteps is the one table of moves of a case. A new move is a row here and
// nothing else; docs/states.md is drawn from it.
var caseSteps = []caseStep{
	{[]CaseState{Open}, Triaged, byOffice, machines.Text{ZH: "已研判", EN: "looked at"}},
	{[]CaseState{Open, Triaged}, Informed, byOffice, machines.Text{ZH: "已告知客户", EN: "customer told"}},
	{[]CaseState{Informed}, Planned, slices.Concat(byPlanners, byOwner), machines.Text{ZH: "已安排上门", EN: "visit planned, or its time chosen by the owner"}},
	{[]CaseState{Planned}, Informed, byPlanners, machines.Text{ZH: "取消上门", EN: "visit cancelled"}},
	{[]CaseState{Planned}, InWork, byEngineers, machines.Text{ZH: "开始处理", EN: "work begins"}},
	{[]CaseState{InWork}, Verifying, byEngineers, machines.Text{ZH: "完工", EN: "work done"}},
	{[]CaseState{Verifying}, AwaitingCallback, byManagers, machines.Text{ZH: "验证通过或署名免验", EN: "proved, or waived by name"}},
	{[]CaseState{Verifying}, InWork, byPlanners, machines.Text{ZH: "验证未通过", EN: "not proved: come-back"}},
	{[]CaseState{AwaitingCallback}, Satisfied, byOwner, machines.Text{ZH: "客户说满意", EN: "customer says so"}},
	{[]CaseState{AwaitingCallback}, InWork, slices.Concat(byCallers, byOwner), machines.Text{ZH: "一般或不满意", EN: "so-so or dissatisfied"}},
	{[]CaseState{Satisfied}, Closed, byCallers, machines.Text{ZH: "结案", EN: "case closed"}},
	{[]CaseState{Triaged, Informed}, RemoteGuidance, byStaff, machines.Text{ZH: "电话指导", EN: "guided by phone"}},
	{[]CaseState{RemoteGuidance}, Verifying, byStaff, machines.Text{ZH: "电话已解决", EN: "fixed by phone"}},
	{[]CaseState{RemoteGuidance}, Informed, byStaff, machines.Text{ZH: "电话未解决", EN: "phone did not help"}},
	{[]CaseState{Informed, Planned}, Deferred, slices.Concat(byOffice, byOwner), machines.Text{ZH: "客户推迟并知悉风险", EN: "put off, risk acknowledged"}},
	{[]CaseState{Deferred}, Informed, slices.Concat(byOffice, byOwner), machines.Text{ZH: "推迟到期", EN: "deferral ends"}},
	{liveCases, Waiting, byStaff, machines.Text{ZH: "等待客户、配件、工地、季节或付款", EN: "waits for customer, parts, site, season or payment"}},
	{[]CaseState{Waiting}, previous, byStaff, machines.Text{ZH: "等待结束", EN: "waiting ends"}},
	{[]CaseState{Open, Triaged, Informed, Planned, InWork, RemoteGuidance, Deferred, Waiting}, Cancelled, byPlanners, machines.Text{ZH: "取消并说明理由", EN: "cancelled with a reason"}},
}

// stepOf finds the row that lets a case go to a state, or nil. A waiting case
// goes back to where it was and may be cancelled only if that state may: a wait
// is no way around the proof of a repair.
func stepOf(c Case, to CaseState) *caseStep {
	if c.Undecided() && to == Informed {
		return nil // somebody looks at it first
	}
	for i, row := range caseSteps {
		if !slices.Contains(row.from, c.State) {
			continue
		}
		if row.to == previous && to == c.PreviousState && to != "" {
			return &caseSteps[i]
		}
		if row.to != to {
			continue
		}
		if c.State == Waiting && stepOf(Case{State: c.PreviousState}, to) == nil {
			return nil
		}
		return &caseSteps[i]
	}
	return nil
}

// mayTake says whether a role may take a step; the program may take all.
func (s *caseStep) mayTake(role identity.Role) bool {
	return role == identity.System || slices.Contains(s.by, role)
}

// nextStates are the states that a role may move a case to now.
func nextStates(c Case, role identity.Role) []CaseState {
	next := []CaseState{}
	for _, to := range CaseStates {
		if step := stepOf(c, to); step != nil && step.mayTake(role) {
			next = append(next, to)
		}
	}
	return next
}

// CaseStates lists every state of a case in the order of its way.
var CaseStates = []CaseState{Open, Triaged, Informed, Planned, InWork, Verifying, AwaitingCallback, Satisfied, Closed, RemoteGuidance, Deferred, Waiting, Cancelled}

// Ended says whether a case is over.
func (s CaseState) Ended() bool { return s == Closed || s == Cancelled }

// Text names the state in both languages.
func (s CaseState) Text() machines.Text {
	if i := slices.IndexFunc(caseNames, func(n caseName) bool { return n.state == s }); i >= 0 {
		return caseNames[i].text
	}
	return machines.Text{ZH: string(s), EN: string(s)}
}

type caseName struct {
	state CaseState
	text  machines.Text
}

var caseNames = []caseName{
	{Open, machines.Text{ZH: "新发现", EN: "open"}},
	{Triaged, machines.Text{ZH: "已研判", EN: "triaged"}},
	{Informed, machines.Text{ZH: "已告知客户", EN: "customer told"}},
	{Planned, machines.Text{ZH: "已安排", EN: "planned"}},
	{InWork, machines.Text{ZH: "处理中", EN: "in work"}},
	{Verifying, machines.Text{ZH: "验证中", EN: "verifying"}},
	{AwaitingCallback, machines.Text{ZH: "待回访", EN: "awaiting the callback"}},
	{Satisfied, machines.Text{ZH: "客户满意", EN: "satisfied"}},
	{Closed, machines.Text{ZH: "已结案", EN: "closed"}},
	{RemoteGuidance, machines.Text{ZH: "电话指导", EN: "guided by phone"}},
	{Deferred, machines.Text{ZH: "客户推迟", EN: "deferred"}},
	{Waiting, machines.Text{ZH: "等待中", EN: "waiting"}},
	{Cancelled, machines.Text{ZH: "已取消", EN: "cancelled"}},
}
