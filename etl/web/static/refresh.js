// The refresh button: starts a sync, says how it is getting on, and tells the page when it is done.
//
// For <form id="refresh" method="post" action="/-/refresh"> with the field csrftoken, a button and an
// <output>. A refresh that somebody else started, or that began before the page was loaded, is shown
// too. When one ends, `document` gets the event `refreshed` with the state as its detail. All words
// come from the server and are shown as text. Without this file the form works as a plain one.

const PAUSE_MS = 1500
// What came of a refresh is said again on a page that loads itself anew for it.
const KEPT = "bedrock-usage-refreshed"
const KEPT_MS = 10_000
// A server that is being restarted is away for a moment.
const MOST_FAILURES = 20

const form = document.getElementById("refresh")
if (form) attend(form)

function attend(form) {
    const button = form.querySelector("button")
    const output = form.querySelector("output")
    const url = form.getAttribute("action")
    let isWatching = false
    let shown = ""

    output.setAttribute("role", "status")
    output.setAttribute("aria-live", "polite")

    function say(text) {
        // A screen reader reads what changes, and need not hear the same again.
        if (text === shown) return
        shown = text
        output.textContent = text
    }

    function setBusy(isBusy) {
        // Not `disabled`: the keyboard's focus would be lost.
        button.setAttribute("aria-disabled", String(isBusy))
        form.toggleAttribute("data-running", isBusy)
    }

    async function ask(address, options = {}) {
        const headers = {accept: "application/json"}
        const response = await fetch(address, {cache: "no-store", ...options, headers})
        const isJson = response.headers.get("content-type")?.includes("json")
        if (isJson) return {status: response.status, ...(await response.json())}
        throw new Error(`The server answered ${response.status}. Load the page again.`)
    }

    async function watch() {
        if (isWatching) return
        isWatching = true
        setBusy(true)
        try {
            const state = await end()
            say(state.ok ? state.text : state.error)
            keep(shown)
            document.dispatchEvent(new CustomEvent("refreshed", {detail: state}))
        } catch (error) {
            say(`How the refresh is getting on cannot be told: ${error.message}`)
        } finally {
            isWatching = false
            setBusy(false)
        }
    }

    async function end() {
        let failures = 0
        for (;;) {
            try {
                const state = await ask(`${url}.json`)
                failures = 0
                if (!state.is_running) return state
                say(state.text)
            } catch (error) {
                failures += 1
                if (failures > MOST_FAILURES) throw error
            }
            await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
        }
    }

    async function start() {
        setBusy(true)
        say("Refreshing…")
        try {
            const answer = await ask(url, {
                method: "POST",
                body: new URLSearchParams(new FormData(form)),
            })
            if (answer.ok) return watch()
            say(answer.error)
            // Somebody else's refresh: its end is news here too.
            if (answer.status === 409 && answer.is_running) return watch()
        } catch (error) {
            say(`The refresh could not be started: ${error.message}`)
        }
        setBusy(false)
    }

    form.addEventListener("submit", (event) => {
        event.preventDefault()
        if (button.getAttribute("aria-disabled") !== "true") start()
    })

    say(kept())
    ask(`${url}.json`).then((state) => state.is_running && watch(), () => {})
}

function keep(text) {
    try {
        sessionStorage.setItem(KEPT, JSON.stringify({text, at: Date.now()}))
    } catch {
        // A browser may keep nothing: then it is said once.
    }
}

function kept() {
    try {
        const {text, at} = JSON.parse(sessionStorage.getItem(KEPT))
        sessionStorage.removeItem(KEPT)
        return Date.now() - at < KEPT_MS ? text : ""
    } catch {
        return ""
    }
}
