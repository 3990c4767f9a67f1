package pull

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Source is one maker's server, as the file of sources describes it.
type Source struct {
	Name      string   `yaml:"name"`       // part of the topic: small letters, digits, -
	URL       string   `yaml:"url"`        // what stands before /Fleet
	Every     string   `yaml:"every"`      // least time between two polls; 15m where it is empty
	FirstPage int      `yaml:"first_page"` // 1 almost everywhere; -1 means 0
	Accept    string   `yaml:"accept"`
	Series    []string `yaml:"series"`   // time series to ask for, as in Faults
	PlainHTTP bool     `yaml:"insecure"` // allow http://
	Auth      Auth     `yaml:"auth"`
}

// Auth is how a server wants us to sign in. Secrets are env:NAME or file:PATH, so
// that the file itself holds none.
type Auth struct {
	Kind     string   `yaml:"kind"` // none, basic, bearer, oauth2
	User     string   `yaml:"user"`
	Password string   `yaml:"password"`
	Token    string   `yaml:"token"`
	TokenURL string   `yaml:"token_url"`
	Client   string   `yaml:"client_id"`
	Secret   string   `yaml:"client_secret"`
	Scopes   []string `yaml:"scopes"`
	Grant    string   `yaml:"grant"` // client_credentials, password
}

const (
	defaultEvery = 15 * time.Minute
	maxFile      = 1 << 20
	maxSources   = 100
)

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

func (s *Source) every() time.Duration {
	if d, err := time.ParseDuration(s.Every); err == nil {
		return d
	}
	return defaultEvery
}

// ReadSources reads a file of sources (YAML, or JSON) and says all that is wrong.
func ReadSources(path string) ([]Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Sources []Source `yaml:"sources"`
	}
	if err := yaml.UnmarshalWithOptions(b, &file, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var faults []error
	names := map[string]bool{}
	for i := range file.Sources {
		s := &file.Sources[i]
		if err := s.check(); err != nil || names[s.Name] {
			faults = append(faults, fmt.Errorf("source %d (%s): %w", i+1, s.Name, errors.Join(err, twice(names[s.Name]))))
		}
		names[s.Name] = true
	}
	if len(file.Sources) == 0 || len(file.Sources) > maxSources {
		faults = append(faults, fmt.Errorf("%s has %d sources, 1 to %d are possible", path, len(file.Sources), maxSources))
	}
	return file.Sources, errors.Join(faults...)
}

func twice(yes bool) error {
	if yes {
		return errors.New("its name stands there twice")
	}
	return nil
}

func (s *Source) check() error {
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !sourceName.MatchString(s.Name) {
		bad("name has small letters, digits and -")
	}
	for what, text := range map[string]string{"url": s.URL, "token_url": s.Auth.TokenURL} {
		if text == "" && what == "token_url" {
			continue
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "":
			bad("%s is no URL", what)
		case u.User != nil:
			bad("%s holds a password; say it under auth", what)
		case u.Scheme != "https" && (u.Scheme != "http" || !s.PlainHTTP):
			bad("%s must be https, or say insecure: true", what)
		}
	}
	if d, err := time.ParseDuration(s.Every); s.Every != "" && (err != nil || d < time.Second) {
		bad("every is no time of a second or more, as 15m")
	}
	if err := s.Auth.check(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

func (a *Auth) check() error {
	need := map[string][]string{"": nil, "none": nil, "basic": {a.User, a.Password}, "bearer": {a.Token}, "oauth2": {a.TokenURL, a.Client}}
	fields, known := need[a.Kind]
	if !known {
		return errors.New("auth kind is none, basic, bearer or oauth2")
	}
	for _, f := range fields {
		if f == "" {
			return fmt.Errorf("auth %s lacks something: basic has user and password, bearer a token, oauth2 token_url and client_id", a.Kind)
		}
	}
	if a.Kind == "oauth2" && a.Grant == "password" && (a.User == "" || a.Password == "") {
		return errors.New("auth with grant password has user and password")
	}
	if a.Grant != "" && a.Grant != "password" && a.Grant != "client_credentials" {
		return errors.New("auth grant is client_credentials or password")
	}
	for _, s := range []string{a.Password, a.Token, a.Secret} {
		if s != "" && !strings.HasPrefix(s, "env:") && !strings.HasPrefix(s, "file:") {
			return errors.New("auth holds a secret; write env:NAME or file:PATH instead")
		}
	}
	return nil
}

// secret reads what env:NAME or file:PATH means, each time anew: secrets change.
func secret(ref string) (string, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if v := os.Getenv(name); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("the variable %s is empty", name)
	}
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		b, err := os.ReadFile(path)
		return strings.TrimSpace(string(b)), err
	}
	return "", nil
}
