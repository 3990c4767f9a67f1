package maintenance

import (
	"strings"

	"github.com/thirdstate/thirdstate/internal/problem"
)

// normalPhone writes a number in E.164 (+8613807340417). A number without a
// country is one of mainland China: a mobile number, or a fixed one with its area
// code. Spaces, dots, dashes and brackets are taken out.
func normalPhone(number string) (string, error) {
	bad := refuse(problem.Invalid, "this is no phone number", "这不是电话号码")
	if len(number) > 40 {
		return "", bad
	}
	digits := strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "", "\uff08", "", "\uff09", "", "\uff0b", "+").Replace(strings.TrimSpace(number))
	digits, international := strings.CutPrefix(digits, "+")
	if rest, ok := strings.CutPrefix(digits, "00"); ok && !international {
		digits, international = rest, true
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", bad
	}
	switch {
	case international:
	case len(digits) == 13 && strings.HasPrefix(digits, "861"): // +86 without its plus
	default:
		digits = "86" + strings.TrimPrefix(digits, "0")
	}
	if len(digits) < 5 || len(digits) > 15 {
		return "", bad
	}
	return "+" + digits, nil
}

// writings are the ways in which a number may have been stored.
func writings(e164 string) []string {
	national, ok := strings.CutPrefix(e164, "+86")
	if !ok {
		return []string{e164, strings.TrimPrefix(e164, "+")}
	}
	return []string{e164, strings.TrimPrefix(e164, "+"), national, "0" + national}
}
