package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/telemetry/detection"
	"github.com/thirdstate/thirdstate/telemetry/gate"
	"github.com/thirdstate/thirdstate/telemetry/history"
)

// storedHistory is where an installation keeps its records and its telemetry.
type storedHistory struct {
	store
	InfluxURL    string `name:"influx-url" help:"InfluxDB of the history, when it is not in PostgreSQL." placeholder:"URL"`
	InfluxToken  string `name:"influx-token" help:"Token for InfluxDB (user:password for 1.8)." placeholder:"TOKEN"`
	InfluxOrg    string `name:"influx-org" help:"Organisation in InfluxDB." default:"thirdstate"`
	InfluxBucket string `name:"influx-bucket" help:"Bucket in InfluxDB (db/rp for 1.8)." default:"telemetry"`
}

func (s *storedHistory) open(pool *postgres.Pool, clk *clock.Clock) (history.Store, error) {
	if s.InfluxURL == "" {
		return history.NewPostgres(pool), nil
	}
	return history.NewInflux(history.InfluxConfig{URL: s.InfluxURL, Token: s.InfluxToken, Org: s.InfluxOrg, Bucket: s.InfluxBucket, Pool: pool, Now: clk.Now})
}

// stored judges packs on the history of an installation, beside a running server or
// not, and keeps the report there.
func (c *backtestCommand) stored(ctx context.Context) (all []judged, err error) {
	subject, subjectErr := c.subject(c.Rule)
	against, againstErr := c.subject(c.Against)
	if err := errors.Join(subjectErr, againstErr); err != nil {
		return nil, err
	}
	asked := gate.Asked{Machines: c.Machines, Terms: gate.TermsOf(c.terms())}
	if c.Against != "" {
		asked.Against = against.Pack.Hash
	}
	err = c.Keeps.with(ctx, func(pool *postgres.Pool, clk *clock.Clock) error {
		from, err := c.Keeps.open(pool, clk)
		if err != nil {
			return err
		}
		g := newGate(pool, clk, slog.New(slog.DiscardHandler), detection.NewFleet(nil), from, gateSettings{})
		r, err := g.JudgeNow(ctx, administrator, asked, subject, against)
		if err != nil {
			return err
		}
		for _, j := range []*gate.Judged{r.Result, r.Other} {
			if j != nil {
				all = append(all, judged{Rules: nameOf(j), Hash: j.Hash, Result: j.Result})
			}
		}
		return nil
	})
	return all, err
}

func nameOf(j *gate.Judged) string {
	if j.Model == "" {
		return "default watcher"
	}
	return j.Model
}

func (c *backtestCommand) subject(file string) (gate.Subject, error) {
	pack, err := (&watchCommand{Pack: file}).pack()
	return gate.Subject{Pack: pack}, err
}
