// The refresh button: starts a sync, shows its progress, and notifies the page when it ends.
//
// For <form id="refresh" method="post" action="/-/refresh"> with the field csrftoken, a button and an
// <output>. It also shows a refresh that another visitor started or that began before the page loaded.
// When a refresh ends, `document` gets the event `refreshed` with the state as its detail. All status
// text comes from the server and is set as text, not HTML. Without this file the form still works.

const PAUSE_MS = 1500
// The result of a refresh is shown again after the page reloads itself.
const KEPT = "bedrock-usage-refreshed"
const KEPT_MS = 10_000
// A server that restarts is unreachable for a moment.
const MAX_FAILURES = 20

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
        // A screen reader announces every change, even to the same text.
        if (text === shown) return
        shown = text
        output.textContent = text
    }

    function setBusy(isBusy) {
        // Not `disabled`, which would lose keyboard focus.
        button.setAttribute("aria-disabled", String(isBusy))
        form.toggleAttribute("data-running", isBusy)
    }

    async function ask(address, options = {}) {
        const headers = {accept: "application/json"}
        const response = await fetch(address, {cache: "no-store", ...options, headers})
        const isJson = response.headers.get("content-type")?.includes("json")
        if (isJson) return {status: response.status, ...(await response.json())}
        throw new Error(`The server answered ${response.status}. Reload the page.`)
    }

    async function watch() {
        if (isWatching) return
        isWatching = true
        setBusy(true)
        try {
            const state = await waitForEnd()
            say(state.ok ? state.text : state.error)
            keep(shown)
            document.dispatchEvent(new CustomEvent("refreshed", {detail: state}))
        } catch (error) {
            say(`The progress of the refresh is unknown: ${error.message}`)
        } finally {
            isWatching = false
            setBusy(false)
        }
    }

    async function waitForEnd() {
        let failures = 0
        for (;;) {
            try {
                const state = await ask(`${url}.json`)
                failures = 0
                if (!state.is_running) return state
                say(state.text)
            } catch (error) {
                failures += 1
                if (failures > MAX_FAILURES) throw error
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
            // Another refresh is running: follow it to its end.
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
        // Storage may be unavailable; the result is then shown only once.
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
