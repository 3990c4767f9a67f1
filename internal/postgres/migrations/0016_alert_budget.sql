-- +goose Up
-- How many findings of rules a branch takes up in a week, and which cases wait for room.
ALTER TABLE org_unit ADD alerts_per_week int CHECK (alerts_per_week BETWEEN 0 AND 10000);
ALTER TABLE service_case ADD over_budget boolean NOT NULL DEFAULT false;
CREATE INDEX case_alerts ON service_case (inform_due_at) WHERE origin = 'finding';
CREATE INDEX case_over_budget ON service_case (id) WHERE over_budget;
