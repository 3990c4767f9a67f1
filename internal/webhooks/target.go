package webhooks

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// nowhere lists what is not the public Internet, after the registries of special
// addresses (RFC 6890 and its updates): ourselves, our networks, the cloud's
// metadata, and everything that wraps such an address in another one.
var nowhere = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
)

// worldwide is where IPv6 has public addresses at all: neither loopback, mapped,
// NAT64, unique local, link-local nor multicast lie in it.
var worldwide = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// public says whether anybody on the Internet could reach an address.
func public(ip netip.Addr) bool {
	if ip.Zone() != "" || ip.Is6() && !worldwide.Contains(ip) { // a mapped IPv4 address is none of IPv6's either
		return false
	}
	return !slices.ContainsFunc(nowhere, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// allowed says whether the installation lets us reach an address that is not public.
func (s Settings) allowed(ip netip.Addr) bool {
	return ip.Zone() == "" && slices.ContainsFunc(s.Allow, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
}

// ReadAllow reads addresses such as 127.0.0.0/8 or 10.1.2.3.
func ReadAllow(list []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(list))
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			ip, bad := netip.ParseAddr(text)
			if bad != nil || ip.Zone() != "" {
				return nil, errors.New(strconv.Quote(text) + " is no network such as 10.1.0.0/16")
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		if p.Addr().Is4In6() {
			return nil, errors.New(strconv.Quote(text) + " is an IPv4 network in IPv6's writing; write it as IPv4")
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// checkURL refuses early what the dialer would refuse later, and what no person
// would write. It resolves no name: what a name leads to is looked at by the
// dialer, at each try.
func (s Settings) checkURL(text string) []problem.Field {
	bad := func(detail string) []problem.Field { return []problem.Field{{Pointer: "/url", Detail: detail}} }
	if text == "" || len(text) > longestURL || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return bad("is no URL such as https://example.com/hooks")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return bad("is no URL such as https://example.com/hooks")
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("must begin with https://")
	case u.User != nil:
		return bad("must not carry a user or a password: the signature proves who sends")
	case strings.Contains(text, "#"):
		return bad("must not have a fragment")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return bad("has no port that exists")
		}
	}
	ip, notAddress := netip.ParseAddr(u.Hostname())
	switch {
	case notAddress == nil && !public(ip) && !s.allowed(ip):
		return bad("its address is not public, and --webhook-allow does not name it")
	case notAddress == nil && u.Scheme == "http" && !s.allowed(ip), notAddress != nil && u.Scheme == "http" && len(s.Allow) == 0:
		return bad("must begin with https://")
	case notAddress != nil && !isName(u.Hostname()):
		return bad("its host is no name such as example.com")
	}
	return nil
}

// isName says whether a host is a name. What ends in a number is an address in a
// writing that some resolvers understand and people do not, such as 0x7f.1.
func isName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	if host == "" || len(host) > 253 || last == "" || last[0] >= '0' && last[0] <= '9' {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return true
}
