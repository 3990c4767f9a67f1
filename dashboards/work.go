package dashboards

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/machines"
	"github.com/thirdstate/thirdstate/maintenance"
	"github.com/thirdstate/thirdstate/maintenance/dispatch"
)

// dispatchPage is the dispatcher's list: what waits for somebody, and who is where.
type dispatchPage struct {
	Waiting     []offered
	UnderWay    []maintenance.WorkOrderRow
	Technicians []maintenance.TechnicianRow
}

type offered struct {
	maintenance.WorkOrderRow
	Candidates []dispatch.Candidate
}

// maxOffers bounds for how many orders the ranking is worked out on one page.
const maxOffers = 20

func showDispatch(_ *Site, r *request) error {
	var p dispatchPage
	err := r.read(func(tx pgx.Tx) error {
		open, err := maintenance.WorkOrders(r.ctx, tx, maintenance.OrderFilter{Open: true, Limit: 200})
		if err != nil {
			return err
		}
		for _, o := range open.Items {
			if o.State != maintenance.OrderOpen {
				p.UnderWay = append(p.UnderWay, o)
				continue
			}
			if len(p.Waiting) == maxOffers {
				continue
			}
			ranked, err := maintenance.Candidates(r.ctx, tx, r.now, o.ID)
			if err != nil {
				return err
			}
			p.Waiting = append(p.Waiting, offered{o, ranked})
		}
		p.Technicians, err = maintenance.Technicians(r.ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	return r.render(http.StatusOK, "nav.dispatch", dispatchView(r.view, p))
}

// myDayPage is a field engineer's own work, in the order of the day.
type myDayPage struct {
	Orders []maintenance.WorkOrderRow
	Done   []maintenance.WorkOrderRow
}

func showMyDay(_ *Site, r *request) error {
	var p myDayPage
	mine := r.who.TechnicianID
	err := r.read(func(tx pgx.Tx) error {
		open, err := maintenance.WorkOrders(r.ctx, tx, maintenance.OrderFilter{TechnicianID: &mine, Open: true, Limit: 50})
		if err != nil {
			return err
		}
		p.Orders = open.Items
		slices.SortStableFunc(p.Orders, inOrderOfTheDay)
		done, err := maintenance.WorkOrders(r.ctx, tx, maintenance.OrderFilter{TechnicianID: &mine, State: maintenance.OrderCompleted, Limit: 10})
		p.Done = done.Items
		return err
	})
	if err != nil {
		return err
	}
	r.view.Narrow = true
	return r.render(http.StatusOK, "nav.my_day", myDayView(r.view, p))
}

// inOrderOfTheDay puts first what has to be accepted, then what he is at, then what
// comes next.
func inOrderOfTheDay(a, b maintenance.WorkOrderRow) int {
	rank := func(o maintenance.WorkOrderRow) int {
		switch o.State {
		case maintenance.OrderDispatched:
			return 0
		case maintenance.OrderEnRoute, maintenance.OrderOnSite:
			return 1
		}
		if o.PlannedAt == nil {
			return 3
		}
		return 2
	}
	if n := rank(a) - rank(b); n != 0 || a.PlannedAt == nil || b.PlannedAt == nil {
		return n
	}
	return a.PlannedAt.Compare(*b.PlannedAt)
}

// workOrderPage is one job, made for a phone held in a glove.
type workOrderPage struct {
	File       maintenance.OrderFile
	Signals    []machines.Signal
	Candidates []dispatch.Candidate
	Plans      bool
	Works      bool
}

func showWorkOrder(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	p := workOrderPage{Plans: r.who.Has(planners...), Works: r.who.Has(fielders...)}
	err = r.read(func(tx pgx.Tx) error {
		if p.File, err = maintenance.GetWorkOrder(r.ctx, tx, r.who, id); err != nil {
			return err
		}
		if model := p.File.Machine.ModelID; model != nil {
			if p.Signals, err = machines.Signals(r.ctx, tx, *model); err != nil {
				return err
			}
		}
		if p.Plans && p.File.State == maintenance.OrderOpen {
			p.Candidates, err = maintenance.Candidates(r.ctx, tx, r.now, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	r.view.Narrow = true
	r.view.Title = r.view.Name(p.File.Title, p.File.TitleEN)
	return r.renderTitled(http.StatusOK, workOrderView(r.view, p))
}

func doMoveOrder(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	move := maintenance.OrderMove{To: maintenance.WorkOrderState(r.FormValue("to")), Reason: r.FormValue("reason"), Result: r.FormValue("result"),
		FailureMode: r.FormValue("failure_mode"), Cause: r.FormValue("cause"), Activity: r.FormValue("activity"), SignedBy: r.FormValue("signed_by"), SignerCapacity: r.FormValue("capacity")}
	if technician, err := uuid.Parse(r.FormValue("technician")); err == nil {
		move.TechnicianID = &technician
	}
	if move.WaitedMinutes, err = r.formMinutes("waited"); err != nil {
		return "", err
	}
	if move.WrenchMinutes, err = r.formMinutes("wrench"); err != nil {
		return "", err
	}
	o, err := maintenance.MoveOrder(r.ctx, tx, r.now, r.who, id, move)
	if err != nil {
		return "", err
	}
	return r.t("done.order_state", o.Number, r.t("order_state."+string(o.State))), nil
}

func doAnswer(r *request, tx pgx.Tx) (string, error) {
	id, err := r.id()
	if err != nil {
		return "", err
	}
	answer := maintenance.ItemAnswer{Result: r.FormValue("result"), Note: r.FormValue("note")}
	if answer.Number, err = r.formNumber("number"); err != nil {
		return "", err
	}
	if name, bytes, err := r.photo(); err != nil {
		return "", err
	} else if bytes != nil {
		photo, err := maintenance.Attach(r.ctx, tx, r.now, r.who, "checklist_item", id, name, "", bytes)
		if err != nil {
			return "", err
		}
		answer.PhotoID = &photo.ID
	}
	_, opened, err := maintenance.Answer(r.ctx, tx, r.now, r.who, id, answer)
	if err != nil {
		return "", err
	}
	if opened != nil {
		return r.t("done.failed_item", opened.Number), nil
	}
	return r.t("done.answer"), nil
}

// photo reads the photo of a form, nil where none was taken.
func (r *request) photo() (name string, bytes []byte, err error) {
	file, err := r.FormFile("photo")
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, r.refusal(problem.Invalid, "error.form")
	}
	if file.Size > maxPhoto {
		return "", nil, r.refusal(problem.TooLarge, "error.photo")
	}
	src, err := file.Open()
	if err != nil {
		return "", nil, fmt.Errorf("open the photo: %w", err)
	}
	defer src.Close()
	bytes, err = io.ReadAll(io.LimitReader(src, maxPhoto))
	if err != nil {
		return "", nil, fmt.Errorf("read the photo: %w", err)
	}
	if len(bytes) == 0 {
		return "", nil, nil
	}
	return file.Filename, bytes, nil
}

func showPhoto(_ *Site, r *request) error {
	id, err := r.id()
	if err != nil {
		return err
	}
	var photo maintenance.Attachment
	err = r.read(func(tx pgx.Tx) error {
		photo, err = maintenance.ReadAttachment(r.ctx, tx, id)
		return err
	})
	if err != nil {
		return err
	}
	r.Response().Header().Set("X-Content-Type-Options", "nosniff")
	r.Response().Header().Set("Content-Security-Policy", "sandbox; default-src 'none'")
	return r.Blob(http.StatusOK, photo.MediaType, photo.Bytes)
}
