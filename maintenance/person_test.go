package maintenance

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/machines"
)

func TestPerson_IsWrittenAsEachLanguageDoesUnlessNobodyKnowsWhoIsMeant(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.do(t, func(ctx context.Context, tx pgx.Tx) error {
		for _, en := range []string{"Li Ming", "Lee Ming"} {
			o.run(ctx, t, tx, `INSERT INTO technician (id, name, name_en) VALUES (@id, '李明', @en)`, pgx.NamedArgs{"id": postgres.NewID(), "en": en})
		}
		for name, want := range map[string]machines.Text{"陈海波": {ZH: "陈海波", EN: "Chen Haibo"}, "刘建国": {ZH: "刘建国", EN: "Liu Jianguo"},
			"李明": {ZH: "李明", EN: "李明"}, "某人": {ZH: "某人", EN: "某人"}, "": {}} {
			got, err := person(ctx, tx, &o.a.ID, name)
			if err != nil || got != want {
				t.Errorf("%s: %+v %v, want %+v", name, got, err, want)
			}
		}
		if got, err := person(ctx, tx, nil, "刘建国"); err != nil || got.EN != "刘建国" {
			t.Errorf("somebody's contact is known without the customer: %+v %v", got, err)
		}
		return nil
	})
}
