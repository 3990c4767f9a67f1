package webhooks_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/thirdstate/thirdstate/internal/clock"
	"github.com/thirdstate/thirdstate/internal/webhooks"
	"github.com/thirdstate/thirdstate/maintenance/maintenancetest"
)

// inner is a server that nobody may reach through a webhook; it counts who does.
func inner(t *testing.T) (port string, reached *atomic.Int64) {
	t.Helper()
	reached = new(atomic.Int64)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		at := address
		if port != "" {
			at = strings.TrimSuffix(address, "0") + port
		}
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Logf("%s: %v", at, err) // a machine without IPv6 cannot be reached by it either
			continue
		}
		s := &httptest.Server{Listener: counting{l, reached}, Config: &http.Server{Handler: http.NotFoundHandler()}}
		s.Start()
		t.Cleanup(s.Close)
		_, port, _ = net.SplitHostPort(l.Addr().String())
	}
	return port, reached
}

// counting counts connections: one that is refused after it was made is one too many.
type counting struct {
	net.Listener
	n *atomic.Int64
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}

// nameserver is a real DNS server whose answers may change from one question to
// the next.
func nameserver(t *testing.T, answer func(name string, n int64) []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := reply(buf[:n], &asked, answer); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: dialing(conn.LocalAddr().String())}
}

func reply(question []byte, asked *atomic.Int64, answer func(string, int64) []netip.Addr) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	n := asked.Load()
	if q.Type == dnsmessage.TypeA {
		n = asked.Add(1)
	}
	for _, ip := range answer(strings.TrimSuffix(strings.ToLower(q.Name.String()), "."), n) {
		header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type}
		switch {
		case q.Type == dnsmessage.TypeA && ip.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}})
		case q.Type == dnsmessage.TypeAAAA && ip.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// hidden lists addresses that are not the public Internet's.
var hidden = strings.Fields(`127.0.0.1 127.8.9.10 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.254 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.254
	192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 168.63.129.16
	::1 :: ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:0:53aa:64c::1 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1
	3fff::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1`)

// odd lists other writings of an address of this machine; some resolvers take them.
var odd = strings.Fields(`2130706433 0x7f000001 0x7f.0.0.1 0x7f.1 0177.0.0.1 0177.1 017700000001 127.1 127.0.1 127.0.0.1. 127.0.0.01 127.000.000.001 localhost LOCALHOST localhost. a.localhost
	1.0.0.127.in-addr.arpa 127。0。0。1 127%2e0%2e0%2e1 ①②⑦.0.0.1 [::1] [0:0:0:0:0:0:0:1] [::ffff:7f00:1] [::ffff:127.0.0.1] [::1%25lo] [fe80::1%25lo] 0 0.0 00.00.00.00`)

// S18: whatever is written, nothing inside is reached.
func TestOutside_ReachesNothingInside(t *testing.T) {
	t.Parallel()
	port, reached := inner(t)
	resolver := nameserver(t, func(name string, _ int64) []netip.Addr {
		if host, ok := strings.CutSuffix(name, ".inside.test"); ok {
			ip, err := netip.ParseAddr(strings.NewReplacer("-", ".", "x", ":").Replace(host))
			if err == nil {
				return []netip.Addr{ip}
			}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("169.254.169.254")}
	})
	settings := maintenancetest.Webhooks()
	settings.Allow = nil
	d := webhooks.NewDispatcher(nil, clock.New(now, 0, nil), slog.New(slog.DiscardHandler), settings).At(nil, resolver, nil)
	var urls []string
	for _, ip := range hidden {
		host, named := ip, strings.ReplaceAll(ip, ".", "-")+".inside.test"
		if strings.Contains(ip, ":") {
			host, named = "["+ip+"]", strings.NewReplacer(".", "-", ":", "x").Replace(ip)+".inside.test"
		}
		urls = append(urls, "https://"+host+":"+port+"/", "http://"+host+":"+port+"/latest/meta-data/", "https://"+named+":"+port+"/")
	}
	for _, host := range odd {
		urls = append(urls, "https://"+host+":"+port+"/", "http://"+host+":"+port+"/")
	}
	urls = append(urls, "https://rebound.test:"+port, "https://user:pw@127.0.0.1:"+port, "https://example.com@127.0.0.1:"+port, "https://127.0.0.1:"+port+"#@example.com", "https://127.0.0.1:"+port+"\\@example.com",
		"file:///etc/passwd", "gopher://127.0.0.1:"+port+"/_x", "ftp://127.0.0.1:"+port, "unix:///var/run/docker.sock", "//127.0.0.1:"+port, "javascript:alert(1)", "https:127.0.0.1:"+port, "https:///127.0.0.1", "")
	taken := 0
	for _, u := range urls {
		if webhooks.CheckURL(settings, u) {
			taken++
		}
		if err := d.Post(t.Context(), u); err == nil {
			t.Errorf("%s was reached", u)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections reached the inside", n)
	}
	if len(urls) < 80 {
		t.Errorf("only %d URLs", len(urls))
	}
	settings.Allow = maintenancetest.Webhooks().Allow
	if webhooks.NewDispatcher(nil, clock.New(now, 0, nil), slog.New(slog.DiscardHandler), settings).Post(t.Context(), "http://127.0.0.1:"+port) == nil || reached.Load() != 1 {
		t.Error("what is allowed is not counted: the test sees nothing") // it answers 404
	}
	t.Logf("%d URLs, %d of them names that only the dialer can judge; 0 connections", len(urls), taken)
}

// What is written plainly is refused when the webhook is made already.
func TestCheckURL_RefusesWhatPeopleCanSee(t *testing.T) {
	t.Parallel()
	none, lan := maintenancetest.Webhooks(), maintenancetest.Webhooks()
	none.Allow = nil
	for _, ip := range hidden {
		host := ip
		if strings.Contains(ip, ":") {
			host = "[" + ip + "]"
		}
		if webhooks.CheckURL(none, "https://"+host+"/") {
			t.Errorf("%s is taken", host)
		}
	}
	for _, host := range odd {
		if strings.Contains(strings.ToLower(host), "localhost") || strings.HasSuffix(host, "arpa") {
			continue // names, which the dialer judges
		}
		if webhooks.CheckURL(none, "https://"+host+"/") {
			t.Errorf("%s is taken", host)
		}
	}
	for u, want := range map[string]bool{"https://example.com": true, "https://example.com:8443/a/b?c=d": true, "https://8.8.8.8/": true, "https://[2606:4700::1111]/": true, "https://xn--fiqs8s.example/": true,
		"http://example.com": false, "http://8.8.8.8": false, "https://example.com:0": false, "https://example.com:99999": false, "https://": false, "https://a b": false, "https://exa mple": false,
		"https://" + strings.Repeat("a", 2000) + ".com": false, "HTTPS://EXAMPLE.COM/": true, "https://a..b": false, "https://a/\n": false} {
		if got := webhooks.CheckURL(none, u); got != want {
			t.Errorf("%.80q: %v", u, got)
		}
	}
	for u, want := range map[string]bool{"http://127.0.0.1:9000/": true, "https://127.0.0.1/": true, "http://[::1]/": false, "http://10.0.0.1/": false, "http://hooks.lan/": true, "http://8.8.8.8/": false} {
		if got := webhooks.CheckURL(lan, u); got != want {
			t.Errorf("with 127.0.0.0/8 allowed, %s: %v", u, got)
		}
	}
}

// A name that leads to an allowed address when it is looked at and elsewhere when
// it is used, and one that leads to both at once.
func TestOutside_ANameThatChangesItsMindGainsNothing(t *testing.T) {
	t.Parallel()
	port, reached := inner(t) // on 127.0.0.1 and ::1
	l, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	allowed := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })}}
	allowed.Start()
	t.Cleanup(allowed.Close)
	good, bad := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")
	resolver := nameserver(t, func(name string, n int64) []netip.Addr {
		switch {
		case name == "both.test":
			return []netip.Addr{bad, netip.IPv6Loopback(), good}
		case n%2 == 1:
			return []netip.Addr{good}
		}
		return []netip.Addr{bad}
	})
	settings := maintenancetest.Webhooks()
	settings.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	d := webhooks.NewDispatcher(nil, clock.New(now, 0, nil), slog.New(slog.DiscardHandler), settings).At(nil, resolver, nil)
	through, refused := 0, 0
	for range 40 {
		if err := d.Post(t.Context(), "http://rebinding.test:"+port+"/"); err == nil {
			through++
		} else {
			refused++
		}
	}
	if through != 20 || refused != 20 {
		t.Errorf("%d went to the allowed address, %d were refused", through, refused)
	}
	if err := d.Post(t.Context(), "http://both.test:"+port+"/"); err != nil {
		t.Errorf("one of several addresses is allowed: %v", err)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d connections reached the inside", n)
	}
}

func TestOutside_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	port, reached := inner(t)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	sends := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var code int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(code)
	})}}
	sends.Start()
	t.Cleanup(sends.Close)
	settings := maintenancetest.Webhooks()
	d := webhooks.NewDispatcher(nil, clock.New(now, 0, nil), slog.New(slog.DiscardHandler), settings).At(nil, nil, nil)
	for _, code := range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		for _, to := range []string{"http://127.0.0.1:" + port + "/", "http://[::1]:" + port + "/", "//127.0.0.1:" + port + "/", "https://127.0.0.1:" + port + "/"} {
			if err := d.Post(t.Context(), fmt.Sprintf("%s/%d?to=%s", sends.URL, code, url.QueryEscape(to))); err == nil || !strings.Contains(err.Error(), "redirects are not followed") {
				t.Errorf("%d to %s: %v", code, to, err)
			}
		}
	}
	if n := reached.Load(); n != 0 { // though the network is allowed
		t.Errorf("%d connections were made by a redirect", n)
	}
}
