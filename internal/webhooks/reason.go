package webhooks

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/thirdstate/thirdstate/machines"
)

// Why a try had no answer. None tells an address: what a name of ours leads to is
// not the business of who may add a webhook.
var (
	errNotPublic   = errors.New("its host leads to an address that is not public")
	errName        = errors.New("its host's name leads nowhere")
	errRefused     = errors.New("it refuses connections")
	errCertificate = errors.New("its certificate is not trusted")
	errTimeout     = errors.New("no answer within 10 s")
	errURL         = errors.New("the URL cannot be used")
	errSecret      = errors.New("the secret cannot be opened with this server's key: rotate it")
)

// reasons gives them in Chinese.
var reasons = []struct {
	err error
	zh  string
}{
	{errNotPublic, "主机指向非公网地址"},
	{errName, "主机名无法解析"},
	{errRefused, "对方拒绝连接"},
	{errCertificate, "证书不受信任"},
	{errTimeout, "10 秒内无应答"},
	{errURL, "地址无法使用"},
	{errSecret, "本机密钥文件无法打开其密钥，请更换密钥"},
}

const (
	noAnswer  = "no answer: "
	mostError = 300 // bytes
)

// Explain gives the LastError of a delivery in both languages.
func Explain(lastError string) machines.Text {
	for _, r := range reasons {
		if r.err.Error() == lastError {
			return machines.Text{ZH: r.zh, EN: lastError}
		}
	}
	if strings.HasPrefix(lastError, noAnswer) {
		return machines.Text{ZH: "没有应答", EN: lastError}
	}
	return machines.Text{EN: lastError}
}

// said names why there was no answer.
func said(err error) error {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, errNotPublic):
		return errNotPublic
	case errors.As(err, &dns):
		return errName
	case errors.Is(err, syscall.ECONNREFUSED):
		return errRefused
	case errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return errCertificate
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return errTimeout
	}
	return errors.New(clean(noAnswer + rootOf(err).Error()))
}

// clean makes a text that a receiver may have put bytes of its own into one that
// the database takes: else what came of the try could never be noted.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), mostError)], "")
}

func isTimeout(err error) bool {
	var u *url.Error
	return errors.As(err, &u) && u.Timeout()
}

// rootOf leaves out the words around an error, which name addresses.
func rootOf(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}
