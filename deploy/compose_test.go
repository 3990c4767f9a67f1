package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// compose is what of docker-compose.yml the house has rules about. No container
// engine is needed to hold them.
type compose struct {
	Services map[string]container `yaml:"services"`
	Volumes  map[string]any       `yaml:"volumes"`
}

type container struct {
	Image       string               `yaml:"image"`
	Build       any                  `yaml:"build"`
	Environment map[string]string    `yaml:"environment"`
	Ports       []string             `yaml:"ports"`
	Volumes     []string             `yaml:"volumes"`
	Restart     string               `yaml:"restart"`
	DependsOn   map[string]condition `yaml:"depends_on"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
}

type condition struct {
	Condition string `yaml:"condition"`
}

var (
	exactVersion = regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$|:[a-z]+-\d{8}(-slim)?$|:\$\{THIRDSTATE_VERSION:-\d+\.\d+\.\d+\}$`)
	secretName   = regexp.MustCompile(`PASSWORD|TOKEN|SECRET`)
	required     = regexp.MustCompile(`\$\{([A-Z_]+):\?[^}]+\}`)
	defaulted    = regexp.MustCompile(`\$\{[A-Z_]*(PASSWORD|TOKEN|SECRET)[A-Z_]*(:?-[^}]*)?\}`)
)

func readCompose(t *testing.T) compose {
	t.Helper()
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, "docker-compose.yml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompose_HasTheWholeProduct(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for _, name := range []string{"thirdstate", "postgres", "influxdb", "mosquitto", "grafana"} {
		if _, found := c.Services[name]; !found {
			t.Errorf("no service %s", name)
		}
	}
}

func TestCompose_PinsEveryImageAndChecksItsHealth(t *testing.T) {
	t.Parallel()
	for name, s := range readCompose(t).Services {
		if !exactVersion.MatchString(s.Image) {
			t.Errorf("%s: image %q names no exact version", name, s.Image)
		}
		if len(s.Healthcheck.Test) < 2 {
			t.Errorf("%s has no health check", name)
		}
		if s.Restart == "" {
			t.Errorf("%s does not come back after a crash", name)
		}
	}
	for _, line := range strings.Split(read(t, "Dockerfile"), "\n") {
		if image, from := strings.CutPrefix(line, "FROM "); from {
			if image, _, _ = strings.Cut(image, " AS "); !exactVersion.MatchString(image) {
				t.Errorf("Dockerfile: image %q names no exact version", image)
			}
		}
	}
}

func TestCompose_WaitsForHealthyServicesThatExist(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, s := range c.Services {
		for on, how := range s.DependsOn {
			if _, found := c.Services[on]; !found || how.Condition != "service_healthy" {
				t.Errorf("%s waits for %s until %q", name, on, how.Condition)
			}
		}
		for _, volume := range s.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if path, local := strings.CutPrefix(from, "./"); local {
				if _, err := os.Stat(filepath.Join(root, path)); err != nil {
					t.Errorf("%s mounts what is not there: %v", name, err)
				}
			} else if _, found := c.Volumes[from]; !found {
				t.Errorf("%s mounts the volume %s, which is not listed", name, from)
			}
		}
	}
}

func TestCompose_HasNoPasswordOfItsOwn(t *testing.T) {
	t.Parallel()
	text := read(t, "docker-compose.yml")
	for name, s := range readCompose(t).Services {
		for key, value := range s.Environment {
			if secretName.MatchString(key) && !required.MatchString(value) {
				t.Errorf("%s: %s is not required from .env", name, key)
			}
		}
	}
	if weak := defaulted.FindString(text); weak != "" {
		t.Errorf("%s may be empty or a default: write ${NAME:?what to do}", weak)
	}
}

func TestCompose_OpensPortsOnThisHostOnly(t *testing.T) {
	t.Parallel()
	for name, s := range readCompose(t).Services {
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: %s is open to the network", name, port)
			}
		}
	}
}

func TestCompose_EverySettingIsAFlagOfTheProgram(t *testing.T) {
	t.Parallel()
	var program strings.Builder
	files, err := filepath.Glob(filepath.Join(root, "cmd/thirdstate/*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of the program is found: %v", err)
	}
	for _, file := range files {
		program.WriteString(read(t, strings.TrimPrefix(file, root+"/")))
	}
	text := read(t, "docker-compose.yml") + read(t, "Dockerfile") + read(t, "scripts/demo-real.sh")
	for _, match := range regexp.MustCompile(`(?m)(?:^|\s)(THIRDSTATE_([A-Z_]+))[:=]`).FindAllStringSubmatch(text, -1) {
		flag := strings.ToLower(strings.ReplaceAll(match[2], "_", "-"))
		field := regexp.MustCompile(`(?i)name:"` + flag + `"|\t` + strings.ReplaceAll(flag, "-", "") + `\s+\S+\s+` + "`")
		if !field.MatchString(program.String()) {
			t.Errorf("%s is set, but the program has no flag --%s", match[1], flag)
		}
	}
}

func TestComposeEnv_WritesRandomSecretsForEveryNameOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "env")
	run := func() string {
		if out, err := exec.CommandContext(t.Context(), "bash", filepath.Join(root, "scripts/compose-env.sh"), path).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := run()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is readable by others: %v %v", info.Mode(), err)
	}
	if second := run(); second != first {
		t.Error("the second run changed the passwords, which are in the volumes already")
	}
	holder := map[string]string{}
	for _, match := range required.FindAllStringSubmatch(read(t, "docker-compose.yml"), -1) {
		name := match[1]
		value := regexp.MustCompile(`(?m)^` + name + `=([0-9a-f]{64})$`).FindStringSubmatch(first)
		if value == nil {
			t.Errorf("%s is required, but not written as 32 random bytes", name)
			continue
		}
		if other, taken := holder[value[1]]; taken && other != name {
			t.Errorf("%s and %s share a secret", other, name)
		}
		holder[value[1]] = name
	}
}
