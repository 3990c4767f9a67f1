package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// signIn makes a client that signs each request; tokens are kept until they end.
func (f *feed) signIn(ctx context.Context) (*http.Client, error) {
	base := *f.Client
	base.CheckRedirect = sameHost
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &base)
	a := f.Auth
	password, err1 := secret(a.Password)
	token, err2 := secret(a.Token)
	key, err3 := secret(a.Secret)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	var source oauth2.TokenSource
	switch {
	case a.Kind == "basic":
		base.Transport = signed{base.Transport, func(r *http.Request) { r.SetBasicAuth(a.User, password) }}
		return &base, nil
	case a.Kind == "bearer":
		base.Transport = signed{base.Transport, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }}
		return &base, nil
	case a.Kind == "oauth2" && a.Grant == "password":
		config := oauth2.Config{ClientID: a.Client, ClientSecret: key, Endpoint: oauth2.Endpoint{TokenURL: a.TokenURL}, Scopes: a.Scopes}
		source = oauth2.ReuseTokenSource(nil, byPassword{ctx, &config, a.User, password})
	case a.Kind == "oauth2":
		config := clientcredentials.Config{ClientID: a.Client, ClientSecret: key, TokenURL: a.TokenURL, Scopes: a.Scopes}
		source = config.TokenSource(ctx)
	default:
		return &base, nil
	}
	client := base
	client.Transport = &oauth2.Transport{Source: source, Base: base.Transport}
	return &client, nil
}

// byPassword asks for a token with a person's password.
type byPassword struct {
	ctx            context.Context //nolint:containedctx // a token source has no other way to get one
	config         *oauth2.Config
	user, password string
}

// Token implements oauth2.TokenSource.
func (p byPassword) Token() (*oauth2.Token, error) {
	return p.config.PasswordCredentialsToken(p.ctx, p.user, p.password)
}

// signed adds a header to each request.
type signed struct {
	next http.RoundTripper
	sign func(*http.Request)
}

// RoundTrip implements http.RoundTripper.
func (s signed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	s.sign(r)
	next := s.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(r)
}

// sameHost follows a redirect only where it stays: headers sign us in.
func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) >= 5 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
		return errors.New("the server sends us elsewhere")
	}
	return nil
}

// withoutAnswer drops what a token server says: it may repeat what was sent.
func withoutAnswer(err error) error {
	if r, ok := errors.AsType[*oauth2.RetrieveError](err); ok && r.Response != nil {
		return fmt.Errorf("the token server answers %d %s", r.Response.StatusCode, r.ErrorCode)
	}
	return err
}
