package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/machines"
)

func subscriptions(s *Server) {
	add(s, route{ID: "list-webhooks", Method: http.MethodGet, Path: "/webhooks", Roles: subscribers, EN: "Receivers of events; never their secrets", ZH: "事件推送（Webhook）列表"}, s.listWebhooks)
	add(s, route{ID: "add-webhook", Method: http.MethodPost, Path: "/webhooks", Roles: subscribers, Status: http.StatusCreated,
		EN: "Send events to a URL, signed after Standard Webhooks; the secret is told once", ZH: "新增事件推送（按 Standard Webhooks 签名）；密钥只显示一次"}, s.addWebhook)
	add(s, route{ID: "get-webhook", Method: http.MethodGet, Path: "/webhooks/{id}", Roles: subscribers, EN: "One webhook", ZH: "事件推送"}, s.getWebhook)
	add(s, route{ID: "change-webhook", Method: http.MethodPatch, Path: "/webhooks/{id}", Roles: subscribers, EN: "Change a webhook, switch it off or on", ZH: "修改、停用或启用事件推送"}, s.changeWebhook)
	add(s, route{ID: "remove-webhook", Method: http.MethodDelete, Path: "/webhooks/{id}", Roles: subscribers, Status: http.StatusNoContent,
		EN: "Remove a webhook and what waits for it", ZH: "删除事件推送"}, s.removeWebhook)
	add(s, route{ID: "rotate-webhook-secret", Method: http.MethodPost, Path: "/webhooks/{id}/secret", Roles: subscribers,
		EN: "Give a webhook a new secret, told once; for 24 hours the old one signs too", ZH: "更换密钥（只显示一次）；24 小时内新旧密钥同时签名"}, s.rotateWebhookSecret)
	add(s, route{ID: "test-webhook", Method: http.MethodPost, Path: "/webhooks/{id}/test", Roles: subscribers, EN: "Send a test event", ZH: "发送测试事件"}, s.testWebhook)
	add(s, route{ID: "list-webhook-deliveries", Method: http.MethodGet, Path: "/webhooks/{id}/deliveries", Roles: subscribers,
		EN: "What was sent to a webhook in the last 30 days, newest first", ZH: "最近 30 天的推送记录，最新在前"}, s.listWebhookDeliveries)
	add(s, route{ID: "replay-failed-webhook-deliveries", Method: http.MethodPost, Path: "/webhooks/{id}/replay", Roles: subscribers,
		EN: "Send once more what has failed since an instant, 10,000 at most", ZH: "重发某时刻以来失败的推送，每次最多一万条"}, s.replayFailedDeliveries)
	add(s, route{ID: "get-webhook-delivery", Method: http.MethodGet, Path: "/webhook-deliveries/{id}", Roles: subscribers, EN: "One delivery with its body", ZH: "推送记录及其正文"}, s.getWebhookDelivery)
	add(s, route{ID: "replay-webhook-delivery", Method: http.MethodPost, Path: "/webhook-deliveries/{id}/replay", Roles: subscribers,
		EN: "Send a delivery once more, under the same webhook-id", ZH: "以相同 webhook-id 重发一次推送"}, s.replayWebhookDelivery)
	add(s, route{ID: "list-webhook-events", Method: http.MethodGet, Path: "/webhook-events", Roles: subscribers, EN: "Types of event that a webhook may ask for", ZH: "可订阅的事件类型"}, s.listWebhookEvents)
}

func (s *Server) listWebhooks(ctx context.Context, _ *struct{}) (*Listed[webhooks.Webhook], error) {
	items, err := read(ctx, s, func(db postgres.DB) ([]webhooks.Webhook, error) { return webhooks.List(ctx, db) })
	return whole(ctx, items, err)
}

func (s *Server) getWebhook(ctx context.Context, in *struct {
	ByID
	Cached
}) (*Answer[webhooks.Webhook], error) {
	w, err := read(ctx, s, func(db postgres.DB) (webhooks.Webhook, error) { return webhooks.Get(ctx, db, in.ID) })
	return unlessSeen(in.Cached, w, w.Version, err)
}

type newWebhook struct {
	CustomerID  *uuid.UUID `json:"customerId,omitempty" doc:"whose events; owners have their own, without it the service organisation hears of all"`
	URL         string     `json:"url" minLength:"1" maxLength:"2000" doc:"https://..., of a public address unless --webhook-allow names it"`
	Description string     `json:"description,omitempty" maxLength:"200"`
	Events      []string   `json:"events" minItems:"1" maxItems:"50" doc:"types such as case.opened, case.* or *; see /webhook-events"`
}

// WebhookSecret is a webhook with its new secret, which is told this once.
type WebhookSecret struct {
	Webhook webhooks.Webhook `json:"webhook"`
	Secret  string           `json:"secret" doc:"whsec_...: decode what follows from base64 and use it as the key of HMAC-SHA256"`
}

// addWebhook ignores an Idempotency-Key: its answer must not be kept.
func (s *Server) addWebhook(ctx context.Context, in *struct{ Body newWebhook }) (*Answer[WebhookSecret], error) {
	b := in.Body
	forgetKey(ctx)
	out, err := write(ctx, s, func(a act) (out WebhookSecret, err error) {
		out.Webhook, out.Secret, err = webhooks.Add(ctx, a.tx, s.Webhooks, a.now, a.who, webhooks.New{CustomerID: b.CustomerID, URL: b.URL, Description: b.Description, Events: b.Events})
		return out, err
	})
	return answered(out, out.Webhook.Version, err)
}

// forgetKey makes an operation whose answer is a secret ignore its Idempotency-Key.
func forgetKey(ctx context.Context) {
	if r := requestOf(ctx); r != nil {
		r.key = nil
	}
}

type webhookChange struct {
	URL         *string  `json:"url,omitempty" minLength:"1" maxLength:"2000"`
	Description *string  `json:"description,omitempty" maxLength:"200"`
	Events      []string `json:"events,omitempty" minItems:"1" maxItems:"50"`
	Enabled     *bool    `json:"enabled,omitempty"`
	Version     int      `json:"version,omitempty" minimum:"1" doc:"instead of If-Match"`
}

func (s *Server) changeWebhook(ctx context.Context, in *struct {
	ByID
	Matched
	Body webhookChange
}) (*Answer[webhooks.Webhook], error) {
	b := in.Body
	v, err := version(in.Matched, b.Version)
	if err != nil {
		return nil, err
	}
	w, err := write(ctx, s, func(a act) (webhooks.Webhook, error) {
		return webhooks.Update(ctx, a.tx, s.Webhooks, a.now, a.who, in.ID, webhooks.Change{URL: b.URL, Description: b.Description, Events: b.Events, Enabled: b.Enabled, Version: v})
	})
	return answered(w, w.Version, err)
}

func (s *Server) removeWebhook(ctx context.Context, in *ByID) (*Nothing, error) {
	_, err := write(ctx, s, func(a act) (Nothing, error) { return Nothing{}, webhooks.Remove(ctx, a.tx, a.now, a.who, in.ID) })
	return &Nothing{}, err
}

// rotateWebhookSecret ignores an Idempotency-Key: its answer must not be kept.
func (s *Server) rotateWebhookSecret(ctx context.Context, in *ByID) (*Answer[WebhookSecret], error) {
	forgetKey(ctx)
	out, err := write(ctx, s, func(a act) (out WebhookSecret, err error) {
		out.Webhook, out.Secret, err = webhooks.Rotate(ctx, a.tx, s.Webhooks, a.now, time.Now(), a.who, in.ID)
		return out, err
	})
	return answered(out, out.Webhook.Version, err)
}

func (s *Server) testWebhook(ctx context.Context, in *ByID) (*Answer[webhooks.Delivery], error) {
	d, err := write(ctx, s, func(a act) (webhooks.Delivery, error) { return webhooks.Test(ctx, a.tx, a.now, a.who, in.ID) })
	return answered(d, 0, err)
}

func (s *Server) listWebhookDeliveries(ctx context.Context, in *struct {
	ByID
	Paged
	State string `query:"state" enum:"waiting,delivered,failed"`
}) (*Listed[webhooks.Delivery], error) {
	page, err := read(ctx, s, func(db postgres.DB) (machines.Page[webhooks.Delivery], error) {
		return webhooks.Deliveries(ctx, db, in.ID, webhooks.Filter{State: in.State, Limit: in.Limit, Cursor: in.Cursor})
	})
	return listed(ctx, page, err)
}

type replay struct {
	Since time.Time `json:"since" doc:"by the program clock: events that happened since then"`
}

// Replayed says how many deliveries are on their way again.
type Replayed struct {
	Deliveries int64 `json:"deliveries"`
}

func (s *Server) replayFailedDeliveries(ctx context.Context, in *struct {
	ByID
	Body replay
}) (*Answer[Replayed], error) {
	out, err := write(ctx, s, func(a act) (out Replayed, err error) {
		out.Deliveries, err = webhooks.ReplayFailed(ctx, a.tx, a.now, a.who, in.ID, in.Body.Since)
		return out, err
	})
	return answered(out, 0, err)
}

func (s *Server) getWebhookDelivery(ctx context.Context, in *ByID) (*Answer[webhooks.Sent], error) {
	d, err := read(ctx, s, func(db postgres.DB) (webhooks.Sent, error) { return webhooks.GetDelivery(ctx, db, in.ID) })
	return answered(d, 0, err)
}

func (s *Server) replayWebhookDelivery(ctx context.Context, in *ByID) (*Answer[webhooks.Delivery], error) {
	d, err := write(ctx, s, func(a act) (webhooks.Delivery, error) { return webhooks.Replay(ctx, a.tx, a.now, a.who, in.ID) })
	return answered(d, 0, err)
}

func (s *Server) listWebhookEvents(ctx context.Context, _ *struct{}) (*Listed[machines.EventType], error) {
	return whole(ctx, machines.EventTypes(), nil)
}
