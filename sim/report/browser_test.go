package report_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"starling/sim/report"
)

// screenshots names a directory for a picture of each page at each width; without it none is taken.
const screenshots = "REPORT_SCREENSHOTS"

// chromium starts a headless browser without a network, and stops it with the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell", "chrome-headless-shell"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("there is no chromium, google-chrome or headless-shell on the path; install chromium to see whether pages render")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		// Nothing is to be reached even if a page asks for it, and the browser itself is to ask for nothing.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"), chromedp.Flag("no-proxy-server", true),
		chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancelBrowser := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancelBrowser)
	ctx, cancelTab := chromedp.NewContext(ctx)
	t.Cleanup(cancelTab)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// complaints are what a browser has to say against a page, and what the page asked for.
type complaints struct {
	mu       sync.Mutex
	said     []string
	requests []string
}

func (c *complaints) listen(ctx context.Context) error {
	return chromedp.Listen(ctx, func(event any) {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			c.requests = append(c.requests, e.Request.URL)
		case *runtime.EventExceptionThrown:
			c.said = append(c.said, e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			for _, a := range e.Args {
				c.said = append(c.said, string(e.Type)+": "+string(a.Value))
			}
		case *log.EventEntryAdded:
			c.said = append(c.said, e.Entry.Text)
		}
	})
}

// seen is what layout is measured by a script in the page.
type seen struct {
	Wide     int      // of the document
	Window   int      // width
	Figures  int      // that have a size
	Curves   int      // paths with a length
	Outside  []string // text of figures beyond their edge
	Overlaps []string // pairs of labels of one figure
	Cut      []string // elements wider than the window that do not scroll
	Pwned    bool
}

const measure = `(function () {
  var r = {Wide: document.documentElement.scrollWidth, Window: window.innerWidth, Figures: 0, Curves: 0, Outside: [], Overlaps: [], Cut: [], Pwned: !!window.pwned};
  document.querySelectorAll("svg.figure").forEach(function (f) {
    var b = f.getBoundingClientRect();
    if (b.width > 50 && b.height > 50) r.Figures++;
    f.querySelectorAll("path.curve").forEach(function (p) { if (p.getTotalLength() > 0) r.Curves++; });
    var texts = Array.from(f.querySelectorAll("text")), boxes = texts.map(function (t) { return t.getBoundingClientRect(); });
    texts.forEach(function (t, i) {
      var a = boxes[i], name = t.textContent + " in " + f.querySelector("title").textContent;
      if (a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1) r.Outside.push(name);
      if (t.parentNode.getAttribute("transform")) return; // the box of slanted text is larger than the text
      for (var j = 0; j < i; j++) {
        var c = boxes[j];
        if (texts[j].parentNode.getAttribute("transform")) continue;
        if (Math.min(a.right, c.right) - Math.max(a.left, c.left) > 1 && Math.min(a.bottom, c.bottom) - Math.max(a.top, c.top) > 3)
          r.Overlaps.push(texts[j].textContent + " and " + name);
      }
    });
  });
  document.querySelectorAll("main *").forEach(function (e) {
    var a = e.getBoundingClientRect();
    if (a.right > window.innerWidth + 1 && !e.closest(".scroll, pre, svg")) r.Cut.push(e.tagName + " " + e.textContent.slice(0, 60));
  });
  return JSON.stringify(r);
})()`

// faults are what is wrong with a page as it was seen.
func (p page) faults(have seen, c *complaints) (out []string) {
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	bad(len(c.said) > 0, "the browser says %q", c.said)
	bad(len(c.requests) == 0, "no request is seen, so that none could be found wrong")
	for _, r := range c.requests {
		bad(r != p.url && !strings.HasPrefix(r, "data:"), "the page asks for %s", r)
	}
	bad(have.Wide > have.Window || len(have.Cut) > 0, "the page is %d wide in a window of %d: %q", have.Wide, have.Window, have.Cut)
	bad(len(have.Outside) > 0, "text reaches beyond its figure: %q", have.Outside)
	bad(len(have.Overlaps) > 0, "text covers text: %q", have.Overlaps)
	bad(have.Figures < p.figures || have.Curves < p.curves, "%d figures with %d curves are visible, want at least %d and %d", have.Figures, have.Curves,
		p.figures, p.curves)
	bad(have.Pwned, "a name ran as a script")
	return out
}

// widths are those of a laptop and of a telephone.
var widths = [2]int64{1280, 400}

func TestPagesRenderWithoutNetwork(t *testing.T) {
	browser := chromium(t)
	for _, p := range pages(t) {
		t.Run(p.name, func(t *testing.T) {
			for _, w := range widths {
				have, c := open(t, browser, p, w)
				for _, f := range p.faults(have, c) {
					t.Errorf("%d pixels wide: %s", w, f)
				}
			}
		})
	}
}

// badPage has every fault that a page is checked for.
const badPage = `<!DOCTYPE html><html><head><title>bad</title></head><body><main><p style="width:3000px">wide</p>
<svg class="figure" viewBox="0 0 100 100" width="100"><title>plot</title><text x="10" y="50">one text</text><text x="12" y="52">another</text><text x="90" y="90">far out</text></svg>
<img src="http://192.0.2.1/spy.png"><script>window.pwned = 1; console.error("oh"); undefined.x;</script></main></body></html>`

func TestBrowserSeesWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.html")
	if err := os.WriteFile(path, []byte(badPage), 0o644); err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "file", Path: path}
	p := page{name: "bad", url: u.String(), figures: 2, curves: 1}
	have, c := open(t, chromium(t), p, 400)
	all := strings.Join(p.faults(have, c), "\n")
	for _, want := range []string{"oh", "Uncaught", "asks for http://192.0.2.1/spy.png", "in a window of 400", "reaches beyond its figure: [\"far out", "covers text: [\"one text and another",
		"1 figures with 0 curves", "ran as a script"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not seen in\n%s", want, all)
		}
	}
}

// point moves the pointer onto the second run of a table, clicks, and moves away; it counts the curves that are set off before,
// meanwhile and after, and what is left after a second click.
const point = `(function () {
  var row = document.querySelector("tr[data-run='2']"), counts = [];
  function count() { counts.push(document.body.classList.contains("one") ? document.querySelectorAll("path.on[data-run='2']").length : 0); }
  function send(target, type) { target.dispatchEvent(new MouseEvent(type, {bubbles: true})); count(); }
  count(); send(row, "mouseover"); send(document.body, "mouseover"); send(row, "click"); send(document.body, "mouseover"); send(row, "click");
  return counts.join(" ");
})()`

func TestPointingAtARunSetsItsCurvesOff(t *testing.T) {
	browser := chromium(t)
	dir := t.TempDir()
	if err := report.WriteCompare(dir, comparisons()[1].runs); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser)
	defer cancel()
	u := url.URL{Scheme: "file", Path: filepath.Join(dir, report.CompareFile)}
	if err := chromedp.Do(ctx, chromedp.Navigate(u.String())); err != nil {
		t.Fatal(err)
	}
	have, err := chromedp.Run(ctx, chromedp.Evaluate[string](point))
	if want := "0 8 0 8 8 0"; err != nil || have != want {
		t.Errorf("curves set off: have %s, want %s; %v", have, want, err)
	}
}

// open shows a page in a tab of its own and measures it.
func open(t *testing.T, browser context.Context, page page, width int64) (seen, *complaints) {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	defer cancel()
	c := &complaints{}
	if err := c.listen(ctx); err != nil {
		t.Fatal(err)
	}
	// The first call opened the tab; from here on a browser that hangs fails the test.
	ctx, cancelSteps := context.WithTimeout(ctx, time.Minute)
	defer cancelSteps()
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err == nil && strings.Contains(page.name, "dark") {
		dark := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: dark})
	}
	if err == nil {
		err = chromedp.Do(ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate(page.url))
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](measure))
	if err != nil {
		t.Fatal(err)
	}
	var found seen
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	if shots := os.Getenv(screenshots); shots != "" {
		picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(shots, fmt.Sprintf("%s-%d.png", page.name, width)), picture, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return found, &complaints{said: c.said, requests: c.requests}
}

type page struct {
	name, url       string
	figures, curves int
}

// pages writes one page of every kind, with the runs that are hardest to show among them.
func pages(t *testing.T) []page {
	t.Helper()
	var out []page
	add := func(name, path string, figures, curves int) {
		u := url.URL{Scheme: "file", Path: path}
		out = append(out, page{name, u.String(), figures, curves})
	}
	dir := t.TempDir()
	runs := oddRuns()
	runs = append([]named{{"large", largeRun(), 9, 20}, {"large-dark", largeRun(), 9, 20}, {"small", smallRun(), 9, 20}}, runs...)
	for _, r := range runs {
		to := filepath.Join(dir, r.name)
		if err := report.Write(to, r.run); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		add(r.name, filepath.Join(to, report.PageFile), r.figures, r.curves)
	}
	for _, c := range comparisons() {
		to := filepath.Join(dir, c.name)
		if err := report.WriteCompare(to, c.runs); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		add(c.name, filepath.Join(to, report.CompareFile), c.figures, c.curves)
	}
	for _, n := range []int{16, 100, 400} {
		path := filepath.Join(dir, fmt.Sprintf("topologies-%d.html", n))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		specs := []string{"ring", "line", "star", "complete", "hypercube", "torus", "regular:4", "geometric", "base:k=1", "matching", "<b>"}
		if err := report.Topologies(f, n, 1, specs); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		add(fmt.Sprintf("topologies-%d", n), path, 9, 0)
	}
	return out
}
