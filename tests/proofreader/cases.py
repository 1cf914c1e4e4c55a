# ruff: noqa: E501 (LaTeX is easier to read in one line)
"""Lines of every kind that people write, with the verdicts that are right, worked by hand."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A line, what kind it is, and the verdicts that are right."""

    kind: str
    latex: str
    right: tuple[str, ...]


CASES = [
    Case("indicator-mean", r"\mathbb{E}_{r(s)}[\mathbb{1}[s = k]] = r(s = k)", ("holds_if",)),
    Case("indicator-digit", r"\mathbb{E}_{r(s)}[1_{\{s=k\}}] = r(s=k)", ("holds_if",)),
    Case("indicator-bracket", r"\sum_s r(s)\, [s = k] = r(s = k)", ("holds", "holds_if")),
    Case("indicator-square", r"\operatorname{Var}_{r(s)}[\mathbf{1}(s=k)] = r(s=k)(1 - r(s=k))", ("holds_if",)),
    Case("indicator-square-slip", r"\operatorname{Var}_{r(s)}[\mathbf{1}(s=k)] = r(s=k)^2", ("false",)),
    Case("indicator-turned", r"\mathbb{E}_{r(s)}[\mathbb{I}(s=k)] = 1 - r(s=k)", ("false",)),
    Case(
        "indicator-complete",
        r"\log p(v, s) = \sum_k \mathbb{1}(s = k) \log p(v, s = k)",
        ("holds_if",),
    ),
    Case(
        "indicator-responsibility",
        r"\mathbb{E}_{m(s \mid v)}\left[\sum_k \mathbb{1}(s=k) \log m(v, s=k)\right] = \sum_k m(s=k) \log m(v, s=k)",
        ("false",),
    ),
    Case(
        "indicator-of-rows",
        r"\log p(v, s \mid \eta) = \sum_{n=1}^N \sum_{k=1}^K \mathbb{1}[s_n = k] \log p(v_n, s_n = k \mid \eta)",
        ("holds_if",),
    ),
    Case(
        "indicator-of-rows-slip",
        r"\log p(v, s \mid \eta) = \sum_{n=1}^N \sum_{k=1}^K \mathbb{1}[s_n = k] \log p(s_n = k \mid v_n, \eta)",
        ("false",),
    ),
    Case("rows-mixture", r"\log p(v \mid \eta) = \sum_n \log \sum_k p(v_n, s_n = k \mid \eta)", ("holds_if",)),
    Case(
        "rows-integral", r"\log p_\eta(v) = \sum_{n=1}^N \log \int p_\eta(v_n \mid s_n)\, p(s_n)\, ds_n", ("holds_if",)
    ),
    Case(
        "rows-integral-slip", r"\log p_\eta(v) = \sum_{n=1}^N \int p(s_n) \log p_\eta(v_n \mid s_n)\, ds_n", ("false",)
    ),
    Case("event-beside-its-variable", r"p(v) = \sum_k p(s = k)\, p(v \mid s)", ("holds_if", "false")),
    Case(
        "covariance-squared",
        r"\operatorname{Cov}_{r(s)}[f(s), g(s)]^2 \le \operatorname{Var}_{r(s)}[f(s)] \operatorname{Var}_{r(s)}[g(s)]",
        ("holds",),
    ),
    Case(
        "covariance-not-squared",
        r"\operatorname{Cov}_{r(s)}[f(s), g(s)]^2 = \operatorname{Cov}_{r(s)}[f(s), g(s)]",
        ("false",),
    ),
    Case("indicator-of-a-set", r"\mathbb{E}_{m(v)}[1_A(v)] = M(A)", ("unreadable",)),
    Case(
        "markov-bayes",
        r"r(u_{t-1} \mid u_t, u_0) = \frac{r(u_t \mid u_{t-1})\, r(u_{t-1} \mid u_0)}{r(u_t \mid u_0)}",
        ("holds_if",),
    ),
    Case(
        "markov-hierarchy",
        r"m(v, h_1, h_2, h_3) = m(h_3)\, m(h_2 \mid h_3)\, m(h_1 \mid h_2)\, m(v \mid h_1)",
        ("holds_if",),
    ),
    Case("hierarchy-ladder", r"m(v, h) = m(v \mid h_1)\, m(h_L) \prod_{l=1}^{L-1} m(h_l \mid h_{>l})", ("holds_if",)),
    Case("reverse-product", r"m(u_{0:T}) = m(u_T) \prod_{t=T-1}^{0} m(u_t \mid u_{t+1})", ("holds_if",)),
    Case(
        "mean-field",
        r"\mathbb{E}_{r(a,b)}[\log r(a,b)] = \mathbb{E}_{r(a)}[\log r(a)] + \mathbb{E}_{r(b)}[\log r(b)]",
        ("holds_if",),
    ),
    Case("mean-field-product", r"r(h) = \prod_{j=1}^m r_j(h_j)", ("holds_if",)),
    Case("iid-data", r"\log m(D \mid \eta) = \sum_{n=1}^N \log m(v_n \mid \eta)", ("holds_if",)),
    Case("iid-bold", r"m(\mathbf{V}, \mathbf{S} \mid \eta) = \prod_{i=1}^n m(v_i, s_i \mid \eta)", ("holds_if",)),
    Case("bayes-net", r"m(m, c, v) = m(m)\, m(c)\, m(v \mid c, m)", ("holds_if",)),
    Case("model-index", r"\log m(y) = \log \int m(y, \eta \mid M)\, d\eta", ("holds_if",)),
    Case(
        "case-of-letter",
        r"\mathbb{E}_{R}[\log m(v \mid s)] - \mathrm{KL}(r(s \mid v) \Vert m(s)) \le \log m(v)",
        ("holds_if", "holds"),
    ),
    Case(
        "case-of-letter-2",
        r"\mathrm{KL}(R_\psi \Vert M_\eta) = \int r_\psi(s|v) \log \frac{r_\psi(s|v)}{m_\eta(s|v)}\, ds",
        ("holds_if", "holds"),
    ),
    Case(
        "case-of-letter-sum",
        r"\mathrm{KL}[M \Vert R] = \sum_{v \in \mathcal{V}} m(v) \log \frac{m(v)}{r(v)}",
        ("holds_if", "holds"),
    ),
    Case("argmax-defines", r"\hat\eta = \arg\max_\eta \sum_i \log m_\eta(v_i)", ("no_claim",)),
    Case(
        "argmax-underset",
        r"\underset{\theta}{\mathrm{argmax}}\ \log p_\theta(y) = \underset{\theta}{\mathrm{argmax}}\ p_\theta(y)",
        ("holds",),
    ),
    Case(
        "argmin-italic",
        r"\underset{\phi}{argmin}\, \mathrm{KL}(q_\phi(s) \Vert p(s|y)) = \underset{\phi}{argmax}\, \mathbb{E}_{q_\phi(s)}\left[\log \frac{p(y,s)}{q_\phi(s)}\right]",
        ("holds",),
    ),
    Case(
        "argmax-drops-constant",
        r"\arg\max_\eta \mathbb{E}_{r(s)}[\log m_\eta(v,s) - \log r(s)] = \arg\max_\eta \mathbb{E}_{r(s)}[\log m_\eta(v,s)]",
        ("holds",),
    ),
    Case(
        "argmax-wrong", r"\arg\max_\eta \mathbb{E}_{r(s)}[\log m_\eta(v,s)] = \arg\max_\eta \log m_\eta(v)", ("false",)
    ),
    Case("definition-indexed", r"\gamma_k = \gamma_0 + N_k", ("no_claim",)),
    Case(
        "definition-later-symbol",
        r"\sum_{v} r_k(v)\, \log m(v \mid k) = c_k\, \mathbb{E}_{v \sim R_k}[\log m(v \mid k)]",
        ("holds_if", "unreadable"),
    ),
    Case("definition-density", r"R_k(v) = \frac{r_k(v)}{\sum_{v} r_k(v)}", ("no_claim",)),
    Case("choice-of-q", r"r(s) = m(s \mid v)", ("no_claim", "holds_if")),
    Case(
        "first-left-name",
        r"J(r) = \mathbb{E}_{r(s)}[\log r(s) - \log m(v,s)] = \mathrm{KL}(r(s) \Vert m(s|v)) - \log m(v)",
        ("holds",),
    ),
    Case(
        "functional-brackets",
        r"\mathrm{F}[r(\eta)] = \log m(y) - \mathrm{KL}[r(\eta) \Vert m(\eta \mid y)]",
        ("no_claim",),
    ),
    Case("defined-elsewhere", r"F[r] \ge -\log m(v)", ("holds_if", "unreadable", "no_claim")),
    Case(
        "new-statement-starts-with-minus",
        r"\begin{aligned} & r(h \mid w) = \frac{r(w \mid h)\, r(h)}{r(w)} \\ & -\mathbb{E}_{r(w)}[\log r(w)] = -\mathbb{E}_{r(w,h)}\left[\log \frac{r(w,h)}{r(h \mid w)}\right] \end{aligned}",
        ("holds",),
    ),
    Case(
        "two-columns", r"\begin{aligned} m(v) &= \int m(v,s)\,ds, & m(s) &= \int m(v,s)\,dv \end{aligned}", ("holds",)
    ),
    Case(
        "text-in-chain",
        r"\begin{aligned} \mathrm{KL}(q(s) \Vert p(s|y)) &= \int q(s) \log \frac{q(s)\, p(y)}{p(y,s)} ds & \text{(by Bayes' rule)} \\ &= \log p(y) + \int q(s) \log \frac{q(s)}{p(y,s)} ds & \text{(as } \textstyle\int q(s)ds = 1 \text{)} \end{aligned}",
        ("holds",),
    ),
    Case(
        "stackrel-reason",
        r"\log m(v) \overset{(a)}{\ge} \mathbb{E}_{r(s)}[\log m(v \mid s)] - \mathrm{KL}(r(s) \Vert m(s))",
        ("holds",),
    ),
    Case("implies", r"m(v,s) = m(v)\, m(s \mid v) \Rightarrow \log m(v) = \log m(v,s) - \log m(s \mid v)", ("holds",)),
    Case(
        "support-index",
        r"m(s_j \mid v) = \frac{m(v \mid s_j)\, m(s_j)}{\sum_{k=1}^K m(v \mid s_k)\, m(s_k)}",
        ("holds_if",),
    ),
    Case(
        "restricted-constant",
        r"\log\Bigl(\sum_{i=1}^n \rho_i y_i\Bigr) \ge \sum_{i=1}^n \rho_i \log y_i",
        ("holds_if",),
    ),
    Case(
        "restricted-constant-2",
        r"\mathrm{KL}(\rho a(v) + (1-\rho) b(v) \Vert r(v)) \le \rho\, \mathrm{KL}(a(v) \Vert r(v)) + (1-\rho)\, \mathrm{KL}(b(v) \Vert r(v))",
        ("holds_if",),
    ),
    Case("const-word", r"\log p(y, s) = \log p(s \mid y) + const", ("holds_if", "no_claim")),
    Case(
        "const-c",
        r"\mathbb{E}_{r(s)}[\log m_\eta(v,s) - \log r(s)] = \mathbb{E}_{r(s)}[\log m_\eta(v,s)] + c",
        ("holds_if", "holds"),
    ),
    Case("log-propto", r"\log q(a) \propto \mathbb{E}_{q(b)}[\log p(a,b)]", ("holds_if",)),
    Case("gaussian-prior", r"m(s) = \mathcal{N}(s \mid 0, I)", ("no_claim",)),
    Case("gaussian-defines", r"r(s) = \mathcal{N}(s \mid m, S)", ("no_claim",)),
    Case(
        "gaussian-kl",
        r"\mathrm{KL}(\mathcal{N}(m, s^2) \Vert \mathcal{N}(0, 1)) = \frac{1}{2}\left(m^2 + s^2 - 1 - \log s^2\right)",
        ("holds",),
    ),
    Case(
        "gaussian-kl-wrong",
        r"\mathrm{KL}(\mathcal{N}(m, s^2) \Vert \mathcal{N}(0, 1)) = \frac{1}{2}\left(m^2 + s^2 - 1 + \log s^2\right)",
        ("false",),
    ),
    Case("gaussian-algebra", r"\frac{1}{s_a^2} + \frac{1}{s_b^2} = \frac{s_a^2 + s_b^2}{s_a^2 s_b^2}", ("holds",)),
    Case("transpose", r"(a - b)^T (a - b) = a^T a - 2 a^T b + b^T b", ("holds",)),
    Case(
        "reparam", r"\mathbb{E}_{r_\psi(s|v)}[f(s)] = \mathbb{E}_{m(\xi)}[f(g_\psi(\xi, v))]", ("holds_if", "no_claim")
    ),
    Case(
        "reparam-gradient",
        r"\nabla_\psi \mathbb{E}_{m(\xi)}[f(g_\psi(\xi))] = \mathbb{E}_{m(\xi)}[\nabla_\psi f(g_\psi(\xi))]",
        ("holds",),
    ),
    Case(
        "score-function",
        r"\nabla_\psi \mathbb{E}_{r_\psi(s|v)}[\log m(v,s) - \log r_\psi(s|v)] = \mathbb{E}_{r_\psi(s|v)}\left[(\log m(v,s) - \log r_\psi(s|v)) \nabla_\psi \log r_\psi(s|v)\right]",
        ("holds",),
    ),
    Case(
        "second-derivative",
        r"\mathbb{E}_{m(v|\eta)}\left[\frac{\partial^2 \log m(v|\eta)}{\partial \eta^2}\right] = -\mathbb{E}_{m(v|\eta)}\left[\left(\frac{\partial \log m(v|\eta)}{\partial \eta}\right)^2\right]",
        ("holds",),
    ),
    Case(
        "stop-gradient",
        r"\nabla_\phi \mathbb{E}_{q_\phi(s)}[f(s)] = \nabla_\phi \mathbb{E}_{q_\phi(s)}[\mathrm{sg}(f(s)) \log q_\phi(s)]",
        ("false", "unreadable"),
    ),
    Case("score-in-x", r"\nabla_v \log m(v, s) = \nabla_v \log m(s \mid v) + \nabla_v \log m(v)", ("holds",)),
    Case(
        "macro-optional-argument",
        r"\newcommand{\dkl}[3][]{D_{\mathrm{KL}}#1(#2 \,\|\, #3#1)} \dkl[\big]{q(s)}{p(s)} = \mathbb{E}_{q(s)}[\log q(s) - \log p(s)]",
        ("holds",),
    ),
    Case(
        "macro-nested",
        r"\newcommand{\m}[1]{\mathbf{#1}} \newcommand{\ex}[2]{\mathbb{E}_{#1}\left[#2\right]} \ex{q(\m{s})}{\log \frac{p(\m{y},\m{s})}{q(\m{s})}} \le \log p(\m{y})",
        ("holds",),
    ),
    Case(
        "macro-paired-delimiter",
        r"\DeclarePairedDelimiter{\br}{[}{]} \log p(y) = \log \mathbb{E}_{q(s)}\br*{\frac{p(y,s)}{q(s)}}",
        ("holds",),
    ),
    Case("macro-display-only", r"\newcommand{\E}{\mathbb{E}}", ("no_claim",)),
    Case("unknown-macro", r"\log p(\vobs) = \log \int p(\vobs, s)\, ds", ("holds_if", "unreadable")),
    Case("vec-of-names", r"m(v, s_{1:3}) = m(v \mid s_{1:3})\, m(s_{1:3})", ("holds",)),
    Case("chain-rule-conditioning-range", r"m(a_{1:m}, v) = m(v) \prod_{j=1}^m m(a_j \mid a_{1:j-1}, v)", ("holds",)),
    Case("complement-index", r"\mathbb{E}_{r_{-j}(h_{-j})}[\log m(h_j \mid h_{-j})]", ("no_claim",)),
    Case("inline-fragment", r"r_\psi(s \mid v)", ("no_claim",)),
    Case("positivity", r"r(v) > 0", ("no_claim",)),
    Case(
        "multiple-thetas",
        r"\log m(v; \eta) \ge \mathbb{E}_{m(s|v;\eta_t)}\left[\log \frac{m(v,s;\eta)}{m(s|v;\eta_t)}\right]",
        ("holds",),
    ),
    Case("over-primitive", r"m(s \mid v) = {m(v \mid s)\, m(s) \over m(v)}", ("holds",)),
    Case(
        "wrong-bound-direction",
        r"\mathcal{L}(r) = \mathbb{E}_{r(s)}[\log m(v \mid s)] - \mathrm{KL}(r(s) \Vert m(s)) \ge \log m(v)",
        ("false",),
    ),
    Case(
        "wrong-sign-of-kl",
        r"\int r(s|v) \log\left( m(v|s) \frac{m(s)}{r(s|v)} \right) ds = \int r(s|v) \log m(v|s)\, ds - \int r(s|v) \log \frac{m(s)}{r(s|v)}\, ds",
        ("false",),
    ),
    Case(
        "wrong-missing-log",
        r"\log m(v) \ge \mathbb{E}_{r(s|v)}[m(v|s)] + \mathbb{E}_{r(s|v)}[\log m(s)] - \mathbb{E}_{r(s|v)}[\log r(s|v)]",
        ("false",),
    ),
    Case("wrong-condition-swapped", r"\log m(v) = \log \int r(s|v) \frac{m(v|s)\, m(s)}{r(v|s)}\, ds", ("false",)),
    Case(
        "wrong-integration-variable",
        r"\mathrm{KL}(r(s|v) \Vert m(s|v)) = \int r(s|v) \log \frac{r(s|v)}{m(s|v)}\, dv",
        ("false",),
    ),
    Case("wrong-theta-conflated", r"\mathrm{KL}(m(s|v;\eta_t) \Vert m(s|v;\eta)) = 0", ("false",)),
    Case(
        "wrong-theta-conflated-em",
        r"\log m(v;\eta) = \mathbb{E}_{m(s|v;\eta_t)}\left[\log \frac{m(v,s;\eta)}{m(s|v;\eta_t)}\right]",
        ("false",),
    ),
    Case("wrong-posterior-average", r"m(v) = \mathbb{E}_{m(s|v)}[m(v \mid s)]", ("false",)),
    Case(
        "wrong-sample-index-lost",
        r"\mathbb{E}_{s_{1:K} \sim r}\left[\log \frac{1}{K}\sum_{k=1}^K \frac{m(v,s_k)}{r(s_k)}\right] \ge \log m(v)",
        ("false",),
    ),
    Case(
        "wrong-marginal-of-joint-kl", r"\mathrm{KL}(r(a,b) \Vert m(a,b)) \le \mathrm{KL}(r(a) \Vert m(a))", ("false",)
    ),
    Case(
        "wrong-self-normalised",
        r"\mathbb{E}_{m(s|v)}[f(s)] = \mathbb{E}_{r(s)}\left[\frac{m(v,s)}{r(s)} f(s)\right]",
        ("false",),
    ),
    Case("wrong-score-in-theta-under-q", r"\mathbb{E}_{r(s)}[\nabla_\eta \log m_\eta(s \mid v)] = 0", ("false",)),
    Case("wrong-em-entropy-lost", r"\log m(v) = \mathbb{E}_{m(s|v)}[\log m(v,s)]", ("false",)),
    Case(
        "wrong-diffusion-index",
        r"\mathbb{E}_{r}\left[\sum_{t=2}^{T} \log \frac{r(u_t|u_0)}{r(u_{t-1}|u_0)}\right] = \mathbb{E}_r\left[\log \frac{r(u_T|u_0)}{r(u_0|u_0)}\right]",
        ("false",),
    ),
    Case(
        "wrong-comma-inside",
        r"\mathbb{E}_{r(s)}[\log m(v,s)] = \mathbb{E}_{r(s)}[\log m(v|s)] - \mathrm{KL}(r(s) \Vert m(s))",
        ("false",),
    ),
    Case("wrong-same-name-two-laws", r"\mathbb{E}_{r_1(s)}[f(s)] = \mathbb{E}_{r_2(s)}[f(s)]", ("false",)),
    Case("wrong-constant-not-free", r"\mathbb{E}_{r(s)}[\log m(v,s)] = \mathbb{E}_{r(s)}[\log m(v|s)] + c", ("false",)),
    Case("wrong-prime", r"\mathbb{E}_{m(v)}[f(v)] = \mathbb{E}_{m'(v)}[f(v)]", ("false",)),
    Case("wrong-old-new", r"\mathbb{E}_{m_{\eta_{old}}(v)}[f(v)] = \mathbb{E}_{m_\eta(v)}[f(v)]", ("false",)),
    Case("wrong-index-conflated-posterior", r"\mathrm{KL}(r(s \mid v_i) \Vert r(s \mid v_j)) = 0", ("false",)),
    Case("wrong-index-conflated-function", r"f(s_i) = f(s_j)", ("false",)),
    Case("wrong-theta-hat", r"\log m(v;\hat\eta) = \log m(v;\eta)", ("false",)),
    Case(
        "wrong-theta-new-old",
        r"\log m(v;\eta^{new}) = \mathbb{E}_{m(s|v;\eta^{old})}[\log m(v,s;\eta^{new}) - \log m(s|v;\eta^{old})]",
        ("false",),
    ),
    Case("wrong-em-no-progress", r"\log m(v;\eta_{t+1}) = \log m(v;\eta_t)", ("false",)),
    Case("wrong-parameter-values", r"m(v \mid \eta_1) = m(v \mid \eta_2)", ("false",)),
    Case("wrong-lambda-n", r"r(s;\rho_n) = r(s;\rho)", ("false",)),
    Case("gradient-of-subscript", r"\nabla_\eta A_\eta = 2 \nabla_\eta A_\eta", ("false",)),
    Case("gradient-of-normaliser", r"\nabla_\eta \log Z_\eta = \frac{1}{Z_\eta} \nabla_\eta Z_\eta", ("holds",)),
    Case(
        "gradient-of-normaliser-sign",
        r"\nabla_\eta \log \frac{f_\eta(v)}{Z_\eta} = \nabla_\eta \log f_\eta(v) + \nabla_\eta \log Z_\eta",
        ("false",),
    ),
    Case("gradient-of-untied", r"\nabla_\eta \log Z = 2 \nabla_\eta \log Z", ("unreadable", "false")),
    Case("gradient-of-untied-bound", r"\nabla_\eta L(\eta) = 3 \nabla_\eta L(\eta)", ("false",)),
    Case(
        "gradient-of-nothing",
        r"\nabla_\phi \log p(v) = 2 \nabla_\phi \log p(v) + \nabla_\phi r_\phi(v) - \nabla_\phi r_\phi(v)",
        ("holds_if", "false"),
    ),
    Case(
        "gradient-in-a-matrix",
        r"\frac{\partial N(x|\mu,\Sigma)}{\partial\Sigma} = 3 \frac{\partial N(x|\mu,\Sigma)}{\partial\Sigma}",
        ("unreadable", "false"),
    ),
    Case(
        "own-energy",
        r"H(\eta, r) := -\log m(\eta) + \frac12 r^2, \qquad e^{-H(\eta,r)} = m(\eta) e^{-r^2/2}",
        ("holds",),
    ),
    Case(
        "own-energy-slip",
        r"H(\eta, r) := -\log m(\eta) + \frac12 r^2, \qquad e^{-H(\eta,r)} = m(\eta) e^{-r^2}",
        ("false",),
    ),
    Case("own-information", r"I(f) := f + 1, \qquad I(f) = f + 2", ("false",)),
    Case("order-of-magnitude", r"\log m(v) + O(1/n) = \log m(v) + 2 O(1/n)", ("unreadable",)),
    Case("order-of-magnitude-power", r"m(v)^{O(1)} = m(v)^{2 O(1)}", ("unreadable",)),
    Case("dots-behind-three", r"\log (p(v_1) p(v_2) p(v_3) \cdots p(v_n)) = \sum_{i=1}^n \log p(v_i)", ("holds",)),
    Case("dots-behind-three-slip", r"\log (p(v_1) p(v_2) p(v_3) \cdots p(v_n)) = \sum_{i=2}^n \log p(v_i)", ("false",)),
    Case(
        "dots-in-a-chain",
        r"m(v_1) m(v_2|v_1) m(v_3|v_{1:2}) \cdots m(v_n|v_{1:n-1}) = m(v_{1:n})",
        ("holds",),
    ),
    Case(
        "full-stop-for-a-variable", r"\mathrm{KL}(r(.|v) \Vert m(.)) = E_{r(s|v)}[\log r(s|v) - \log m(s)]", ("holds",)
    ),
    Case(
        "full-stop-for-a-variable-slip",
        r"\mathrm{KL}(r(.|v) \Vert m(.)) = E_{r(s|v)}[\log r(s|v) + \log m(s)]",
        ("false",),
    ),
    Case("discrete-only", r"H(v, s) \ge H(v)", ("holds_if",)),
    Case("discrete-only-2", r"I(v;s) \le \mathcal{H}[m(s)]", ("holds_if",)),
    Case("missing-max", r"\max_\eta \sum_{n} \log m_\eta(v_n) = \sum_{n} \log \int m_\eta(v_n, s)\, ds", ("false",)),
    Case("italic-exp", r"q(s) \propto exp\{ \mathbb{E}_{r(h)}[\log p(s, h)] \}", ("no_claim", "holds_if")),
    Case("markov-prop", r"r(y_{k-1} \mid y_k, y_0) \propto r(y_k \mid y_{k-1})\, r(y_{k-1} \mid y_0)", ("holds_if",)),
    Case("markov", r"q(x_t \mid x_{t-1}, x_0) = q(x_t \mid x_{t-1})", ("holds_if",)),
    Case(
        "hmm",
        r"p(s_{1:T}, o_{1:T}) = p(s_1) \prod_{t=2}^T p(s_t \mid s_{t-1}) \prod_{t=1}^T p(o_t \mid s_t)",
        ("holds_if",),
    ),
    Case("iid-data-2", r"\log p(\mathcal{D} \mid w) = \sum_{i} \log p(y_i \mid w)", ("holds_if",)),
    Case(
        "iid-posterior", r"p(\theta \mid \mathcal{D}) \propto p(\theta) \prod_{n=1}^N p(x_n \mid \theta)", ("holds_if",)
    ),
    Case(
        "two-factor",
        r"\mathrm{KL}(q(a,b) \Vert p(a,b)) = \mathrm{KL}(q(a) \Vert p(a)) + \mathrm{KL}(q(b) \Vert p(b))",
        ("holds_if",),
    ),
    Case("indep", r"H(a,b) = H(a) + H(b)", ("holds_if",)),
    Case("mf", r"q(z_1,z_2,z_3) = q_1(z_1) q_2(z_2) q_3(z_3)", ("holds_if",)),
    Case("indep w x", r"p(y \mid x) = \int p(y \mid x, w)\, p(w)\, dw", ("holds_if",)),
    Case("predictive", r"p(y^* \mid x^*, D) = \int p(y^* \mid x^*, w)\, p(w \mid D)\, dw", ("holds_if",)),
    Case(
        "case", r"\mathbb{E}_{q}[\log P(x \mid z)] - \mathrm{KL}(Q(z) \Vert P(z)) \le \log P(x)", ("holds_if", "holds")
    ),
    Case("posterior", r"\log p(x) = \mathbb{E}_{q(z)}\left[\log \frac{p(x,z)}{q(z)}\right]", ("holds_if",)),
    Case("argmin-def", r"\phi^* = \arg\min_\phi \mathrm{KL}(q_\phi(z) \Vert p(z \mid x))", ("no_claim",)),
    Case("update", r"\theta^{(t+1)} = \arg\max_\theta Q(\theta, \theta^{(t)})", ("no_claim",)),
    Case("def-Q", r"Q(\theta; \theta_t) = \mathbb{E}_{p(z|x;\theta_t)}[\log p(x,z;\theta)]", ("no_claim",)),
    Case("stationarity", r"\nabla_\theta \mathcal{L}(\theta) = 0", ("no_claim",)),
    Case("constraint", r"\sum_k \pi_k = 1", ("no_claim",)),
    Case(
        "declarations",
        r"z_n \sim \mathrm{Cat}(\pi), \quad x_n \mid z_n \sim \mathcal{N}(\mu_{z_n}, \Sigma)",
        ("no_claim",),
    ),
    Case("mixture", r"p(x) = \sum_{k=1}^K \pi_k\, \mathcal{N}(x \mid \mu_k, \Sigma_k)", ("no_claim",)),
    Case(
        "resp",
        r"\gamma_{nk} = \frac{\pi_k \mathcal{N}(x_n \mid \mu_k, \Sigma_k)}{\sum_j \pi_j \mathcal{N}(x_n \mid \mu_j, \Sigma_j)}",
        ("no_claim",),
    ),
    Case(
        "iwae",
        r"\mathbb{E}_{z_1,\dots,z_K \sim q(z|x)}\left[\log \frac{1}{K} \sum_{k=1}^K \frac{p(x,z_k)}{q(z_k|x)}\right] \le \log p(x)",
        ("holds",),
    ),
    Case(
        "log-derivative", r"\nabla_\theta \log p_\theta(x) = \frac{\nabla_\theta p_\theta(x)}{p_\theta(x)}", ("holds",)
    ),
    Case(
        "score",
        r"\mathbb{E}_{q_\phi(z)}[f(z) \nabla_\phi \log q_\phi(z)] = \nabla_\phi \mathbb{E}_{q_\phi(z)}[f(z)]",
        ("holds",),
    ),
    Case(
        "reparam-2",
        r"\nabla_\phi \mathbb{E}_{q_\phi(z)}[f(z)] = \mathbb{E}_{p(\epsilon)}[\nabla_\phi f(g_\phi(\epsilon))]",
        ("holds_if",),
    ),
    Case(
        "chain-rule",
        r"\nabla_\phi f(g_\phi(\epsilon)) = \nabla_z f(z)\big|_{z = g_\phi(\epsilon)} \nabla_\phi g_\phi(\epsilon)",
        ("holds",),
    ),
    Case(
        "total",
        r"\nabla_\phi \mathbb{E}_{q_\phi(z)}[f_\phi(z)] = \mathbb{E}_{q_\phi(z)}[f_\phi(z) \nabla_\phi \log q_\phi(z) + \nabla_\phi f_\phi(z)]",
        ("holds",),
    ),
    Case(
        "wrong grad", r"\nabla_\phi \mathbb{E}_{q_\phi(z)}[f(z)] = \mathbb{E}_{q_\phi(z)}[\nabla_\phi f(z)]", ("false",)
    ),
    Case("discrete", r"H(x \mid y) \ge 0", ("holds_if",)),
    Case("discrete-2", r"H[q(z)] \ge 0", ("holds_if",)),
    Case("discrete-3", r"\mathbb{E}_{q(z)}[\log p(x,z)] \le \log p(x)", ("holds_if",)),
    Case("convex", r"f(\mathbb{E}_{p(x)}[g(x)]) \le \mathbb{E}_{p(x)}[f(g(x))]", ("holds_if",)),
    Case("convex-2", r"\varphi\left(\mathbb{E}[X]\right) \leq \mathbb{E}\left[\varphi(X)\right]", ("holds_if",)),
    Case(
        "mf-opt", r"\log q^*(z_1) = \mathbb{E}_{q(z_2)}[\log p(x, z_1, z_2)] + \text{const}", ("holds_if", "no_claim")
    ),
    Case(
        "cavi",
        r"q_j^*(z_j) \propto \exp\left(\mathbb{E}_{q_{-j}}[\log p(z_j \mid z_{-j}, x)]\right)",
        ("no_claim", "holds_if"),
    ),
    Case(
        "gauss",
        r"\mathrm{KL}(\mathcal{N}(\mu, \sigma^2) \Vert \mathcal{N}(0,1)) = -\frac12(1 + \log \sigma^2 - \mu^2 - \sigma^2)",
        ("holds",),
    ),
    Case(
        "gauss-2",
        r"\mathrm{KL}(\mathcal{N}(\mu_1, \sigma_1^2) \Vert \mathcal{N}(\mu_2,\sigma_2^2)) = \log\frac{\sigma_2}{\sigma_1} + \frac{\sigma_1^2 + (\mu_1-\mu_2)^2}{2\sigma_2^2} - \frac12",
        ("holds",),
    ),
    Case("gauss-log", r"\log \mathcal{N}(x \mid m, s^2) = -\frac{(x-m)^2}{2 s^2} - \frac12 \log(2\pi s^2)", ("holds",)),
    Case("gauss-ent", r"H[\mathcal{N}(m, s^2)] = \frac12 \log(2 \pi e s^2)", ("holds",)),
    Case("bern", r"\log \mathrm{Bern}(x \mid \mu) = x \log \mu + (1-x)\log(1-\mu)", ("holds", "holds_if")),
    Case(
        "telescoping",
        r"\mathbb{E}_q\left[\sum_{t=2}^{T} \log \frac{q(y_t|y_0)}{q(y_{t-1}|y_0)}\right] = \mathbb{E}_q\left[\log \frac{q(y_T|y_0)}{q(y_1|y_0)}\right]",
        ("holds",),
    ),
    Case(
        "diffusion",
        r"\log p(x_0) \ge \mathbb{E}_{q(x_{1:T}|x_0)}\left[\log \frac{p(x_{0:T})}{q(x_{1:T}|x_0)}\right]",
        ("holds",),
    ),
    Case(
        "diffusion-2",
        r"\mathbb{E}_{q(x_{1:T}|x_0)}\left[\log \frac{p(x_{0:T})}{q(x_{1:T}|x_0)}\right] = \mathbb{E}_{q}\left[\log p(x_T) + \sum_{t=1}^T \log \frac{p(x_{t-1}|x_t)}{q(x_t|x_{t-1})}\right]",
        ("holds_if",),
    ),
    Case(
        "diffusion-3",
        r"\mathbb{E}_{q(x_{1:2}|x_0)}\left[\log \frac{p(x_{0:2})}{q(x_{1:2}|x_0)}\right] = \mathbb{E}_{q(x_1|x_0)}[\log p(x_0|x_1)] - \mathrm{KL}(q(x_2|x_0) \Vert p(x_2)) - \mathbb{E}_{q(x_2|x_0)}[\mathrm{KL}(q(x_1|x_2,x_0) \Vert p(x_1|x_2))]",
        ("holds_if",),
    ),
    Case("macro", r"p(x \mid \vlat) = \frac{p(x, \vlat)}{p(\vlat)}", ("holds_if", "unreadable")),
    Case("decor", r"\mathbb{E}_{p(x;\theta')}[h(x)] = \mathbb{E}_{p(x;\theta)}[h(x)]", ("false",)),
    Case("decor-2", r"q^{(t+1)}(z) = q^{(t)}(z)", ("false", "no_claim")),
    Case("decor-3", r"\log p(y_i) = \log p(y_j)", ("false",)),
    Case("decor-4", r"\mathrm{KL}(q(z_1 \mid x) \Vert q(z_2 \mid x)) = 0", ("false", "no_claim", "unreadable")),
    Case("unnorm", r"\tilde{p}(x) = Z\, p(x)", ("no_claim", "unreadable")),
    Case("decor-5", r"\log p_{\theta^*}(x) \ge \log p_\theta(x)", ("no_claim",)),
    Case("wrong", r"p(x) = \int p(x|z)\, dz", ("false",)),
    Case("wrong-2", r"\log \mathbb{E}_{p(z)}[p(x|z)] = \mathbb{E}_{p(z)}[\log p(x|z)]", ("false",)),
    Case("wrong-3", r"\mathrm{KL}(q(z) \Vert p(z)) = \mathrm{KL}(p(z) \Vert q(z))", ("false",)),
    Case("wrong-4", r"I(x;z) = H(x) - H(z|x)", ("false",)),
    Case("wrong-5", r"p(z|x) = p(x|z) p(z)", ("false",)),
    Case("wrong-6", r"\mathrm{Var}_{q(z)}[f(z)] = \mathbb{E}_{q(z)}[f(z)^2] - \mathbb{E}_{q(z)}[f(z)]", ("false",)),
    Case("wrong-7", r"\mathbb{E}_{q(z)}[\log q(z)] = H[q(z)]", ("false",)),
    Case("wrong-8", r"\log p(x) = \log p(x,z)", ("false",)),
    Case(
        "fisher",
        r"\mathbb{E}_{q_\phi(z|x)}[\nabla_\theta \log p_\theta(x,z)] = \nabla_\theta \log p_\theta(x)",
        ("holds_if", "false"),
    ),
    Case("beta", r"\mathbb{E}_{q(z)}[\log p(x|z)] - \beta\, \mathrm{KL}(q(z) \Vert p(z)) \le \log p(x)", ("holds_if",)),
    Case("events", r"p(X=x) = \sum_z p(X=x, Z=z)", ("holds", "holds_if")),
    Case("Pr", r"\Pr(x \mid z) = \frac{\Pr(x, z)}{\Pr(z)}", ("holds",)),
    Case(
        "defined after",
        r"\log p(x) = F(q) + \mathrm{KL}(q(z) \Vert p(z|x)), \qquad F(q) = \mathbb{E}_{q(z)}\left[\log\frac{p(x,z)}{q(z)}\right]",
        ("holds",),
    ),
    Case("cases", r"\begin{cases} z \sim p(z) \\ x \sim p(x|z) \end{cases}", ("no_claim",)),
    Case(
        "em",
        r"\log p(x;\theta_{t+1}) - \log p(x;\theta_t) \ge Q(\theta_{t+1};\theta_t) - Q(\theta_t;\theta_t), \quad Q(\theta;\theta') := \mathbb{E}_{p(z|x;\theta')}[\log p(x,z;\theta)]",
        ("holds",),
    ),
    Case("imp", r"\mathbb{E}_{p(z)}\left[\frac{q(z)}{p(z)}\right] = 1", ("holds",)),
    Case("bareE", r"\mathbb{E}[f(z)] = \int q(z) f(z) dz", ("holds_if", "holds")),
    Case(
        "bareE-2",
        r"\mathrm{KL}(q \Vert p) = \mathbb{E}[\log q(z)] - \mathbb{E}[\log p(z \mid x)]",
        ("holds", "holds_if"),
    ),
    Case("bareVar", r"\text{Var}(f(z)) = \mathbb{E}[f(z)^2] - \mathbb{E}[f(z)]^2", ("holds", "holds_if")),
    Case("matrix", r"A^T B = B^T A", ("false", "unreadable", "holds_if")),
    Case("update-2", r"\theta \leftarrow \theta + \eta \nabla_\theta \mathcal{L}", ("no_claim",)),
    Case("choice", r"q(z) = \mathcal{N}(\mu(x), \mathrm{diag}(\sigma^2(x)))", ("no_claim",)),
    Case("jensen-wrong", r"\log \sum_i a_i \ge \sum_i \log a_i", ("false", "holds_if")),
    Case("chain", r"p(z_{1:T}|x) = \prod_{t=1}^T p(z_t | z_{1:t-1}, x)", ("holds",)),
    Case("unit", r"\log\left(\lambda a + (1-\lambda) b\right) \ge \lambda \log a + (1-\lambda)\log b", ("holds_if",)),
    Case(
        "surgery",
        r"\mathbb{E}_{p(x)}[\mathrm{KL}(q(z|x) \Vert p(z))] = I_q(x;z) + \mathrm{KL}(q(z) \Vert p(z))",
        ("holds_if",),
    ),
    Case(
        "sg",
        r"\nabla_{\phi} \mathbb{E}_{q_\phi(z)}[\log q_\phi(z)] = \mathbb{E}_{q_\phi(z)}[\mathrm{sg}(\log q_\phi(z)) \nabla_\phi \log q_\phi(z)]",
        ("holds",),
    ),
]

# What an adversary found accepted, or called false, and its neighbours.
CASES += [
    Case("other-parameter-1", r"p_\theta(x) = p_\phi(x)", ("false", "unreadable", "no_claim")),
    Case("other-parameter-2", r"p(x;\theta) = p(x;\phi)", ("false", "unreadable", "no_claim")),
    Case("other-parameter-3", r"\log p_\theta(x) \ge \log p_\phi(x)", ("false", "unreadable", "no_claim")),
    Case(
        "other-parameter-4",
        r"\mathbb{E}_{\pi_\phi(a|s)}\left[\frac{\pi_\phi(a|s)}{\pi_\theta(a|s)} A(a)\right] = \mathbb{E}_{\pi_\theta(a|s)}[A(a)]",
        ("false", "unreadable", "no_claim"),
    ),
    Case(
        "other-parameter-posterior-1",
        r"\log p_\theta(x) = \mathbb{E}_{p_\phi(z|x)}[\log p_\theta(x,z) - \log p_\phi(z|x)]",
        ("false", "unreadable", "no_claim", "holds_if"),
    ),
    Case(
        "importance-ratio-1",
        r"\mathbb{E}_{\pi_\phi(a|s)}\left[\frac{\pi_\theta(a|s)}{\pi_\phi(a|s)} A(a)\right] = \mathbb{E}_{\pi_\theta(a|s)}[A(a)]",
        ("holds",),
    ),
    Case(
        "unnormalised-1",
        r"Z_\theta := \int \tilde p_\theta(x) dx, \quad \nabla_\theta \log Z_\theta = 0",
        ("false", "unreadable", "no_claim", "holds_if"),
    ),
    Case("unnormalised-if-1", r"\int \tilde p(z) dz = 1", ("false", "unreadable", "no_claim", "holds_if")),
    Case(
        "unnormalised-if-2", r"\mathbb{E}_{q(z)}[\tilde p(z)/q(z)] = 1", ("false", "unreadable", "no_claim", "holds_if")
    ),
    Case(
        "unnormalised-if-3",
        r"Z := \int \tilde p(z) dz, \quad p(z) := \tilde p(z)/Z, \quad \log p(z) = \log \tilde p(z) + \log Z",
        ("false", "unreadable", "no_claim", "holds_if"),
    ),
    Case(
        "sixth-moment-1",
        r"\mathbb{E}_{\epsilon\sim\mathcal{N}(0,1)}[\epsilon^6] = 9",
        ("false", "unreadable", "no_claim"),
    ),
    Case(
        "sixth-moment-2",
        r"\mathrm{Var}_{\epsilon\sim\mathcal{N}(0,1)}[\epsilon^3] = 9",
        ("false", "unreadable", "no_claim"),
    ),
    Case(
        "sixth-moment-3",
        r"\mathbb{E}_{\epsilon\sim\mathcal{N}(0,1)}[|\epsilon|] = \frac{1}{\sqrt3}",
        ("false", "unreadable", "no_claim"),
    ),
    Case(
        "sixth-moment-4",
        r"\mathbb{E}_{\epsilon\sim\mathcal{N}(0,1)}[e^{\epsilon}] \le \frac{41}{25}",
        ("false", "unreadable", "no_claim"),
    ),
    Case("bound-at-values-1", r"\mathrm{ELBO}(q_1) \ge \mathrm{ELBO}(q_2)", ("false", "unreadable", "no_claim")),
    Case("bound-at-values-2", r"\mathcal{L}(\theta) = \mathcal{L}(\theta')", ("false", "unreadable", "no_claim")),
    Case(
        "bound-at-values-3",
        r"\mathcal{L}(q,\theta^{new}) \le \mathcal{L}(q,\theta^{old})",
        ("false", "unreadable", "no_claim"),
    ),
    Case("conditional-mean-1", r"\mathbb{E}[Y^2|X] = \mathbb{E}[Y|X]^2", ("false", "unreadable", "no_claim")),
    Case("conditional-mean-2", r"\mathbb{E}[Y|X] = Y", ("false", "unreadable", "no_claim")),
    Case("conditional-mean-3", r"\mathbb{E}[f(X)|Y] = f(\mathbb{E}[X|Y])", ("false", "unreadable", "no_claim")),
    Case("conditional-mean-4", r"\mathrm{Var}[Y] = \mathrm{Var}[\mathbb{E}[Y|X]]", ("false", "unreadable", "no_claim")),
    Case(
        "conditional-mean-right-1",
        r"\mathrm{Var}[Y] = \mathrm{Var}[\mathbb{E}[Y|X]] + \mathbb{E}[\mathrm{Var}[Y|X]]",
        ("holds",),
    ),
    Case("conditional-mean-right-2", r"\mathbb{E}[Y] = \mathbb{E}[\mathbb{E}[Y|X]]", ("holds",)),
    Case("one-length-1", r"p(x_{1:N}) = p(x_1) p(x_N)", ("false", "unreadable", "no_claim")),
    Case("one-length-2", r"q(x_{1:T}|x_0) = q(x_1|x_0) q(x_T|x_{T-1})", ("false", "unreadable", "no_claim")),
    Case(
        "one-length-3",
        r"\sum_{t=1}^T \log p(x_t|x_{t-1}) = \log p(x_1|x_0) + \log p(x_T|x_{T-1})",
        ("false", "unreadable", "no_claim"),
    ),
    Case(
        "one-length-4",
        r"\sum_{t=2}^T \log\frac{q(x_t|x_0)}{q(x_{t-1}|x_0)} = \log\frac{q(x_T|x_0)}{q(x_{T-1}|x_0)}",
        ("false", "unreadable", "no_claim"),
    ),
    Case("one-length-if-1", r"p(x_{1:n}) = p(x_1) p(x_2|x_1) \prod_{i=3}^n p(x_i|x_{i-1},x_{i-2})", ("holds_if",)),
    Case("one-length-if-2", r"p(y_{1:T}) = p(y_1) \prod_{t=2}^T p(y_t|y_{t-1},y_1)", ("holds_if",)),
    Case("one-length-if-3", r"H(X_1,\ldots,X_n) = H(X_1) + \sum_{i=2}^n H(X_i|X_{i-1},X_1)", ("holds_if",)),
    Case("one-length-if-4", r"p(x_t|x_{1:t-1}) = p(x_t|x_{t-1},x_1)", ("holds_if",)),
    Case(
        "telescope-1",
        r"\sum_{t=2}^T \log\frac{q(x_t|x_0)}{q(x_{t-1}|x_0)} = \log\frac{q(x_T|x_0)}{q(x_1|x_0)}",
        ("holds",),
    ),
    Case("proportional-elsewhere-1", r"p(z|x,y) \propto p(x|z)\, p(z|x,y)", ("false", "unreadable", "no_claim")),
    Case(
        "proportional-elsewhere-2",
        r"p(\theta|x_{1:n}) \propto p(x_n|\theta) p(\theta|x_{1:n})",
        ("false", "unreadable", "no_claim"),
    ),
    Case(
        "proportional-elsewhere-3",
        r"p(z_t|x_{1:t}) \propto p(x_t|z_t) p(z_t|x_{1:t})",
        ("false", "unreadable", "no_claim"),
    ),
    Case("proportional-elsewhere-4", r"p(x|y,z) \propto p(x|y) p(x|z)", ("false", "unreadable", "no_claim")),
    Case("free-letter-1", r"\log p(x)^n = \log p(x)", ("false", "unreadable", "no_claim")),
    Case(
        "free-letter-2",
        r"K\,\mathrm{KL}(q(z)\Vert p(z)) = \mathrm{KL}(q(z)\Vert p(z))",
        ("false", "unreadable", "no_claim"),
    ),
    Case(
        "free-letter-3",
        r"\mathrm{Var}_{q(z)}[d f(z)] = d\,\mathrm{Var}_{q(z)}[f(z)]",
        ("false", "unreadable", "no_claim"),
    ),
    Case("constant-inside-1", r"\sum_{i=1}^n c = c", ("false", "unreadable", "no_claim")),
    Case(
        "constant-inside-2",
        r"\mathbb{E}_{q(z)}[f(z)+c] = \mathbb{E}_{q(z)}[f(z)] - c",
        ("false", "unreadable", "no_claim"),
    ),
    Case("constant-zero-1", r"\log p(x)+c = \log p(x)", ("holds_if", "false", "unreadable")),
    Case(
        "constant-zero-2",
        r"\mathrm{Var}_{q(z)}[f(z)+c] = \mathrm{Var}_{q(z)}[f(z)]+c",
        ("holds_if", "false", "unreadable"),
    ),
    Case("either-sign-1", r"\mathbb{E}_{\mathcal{N}(x|\mu,\sigma^2)}[x] \ge 0", ("false", "holds_if")),
    Case("either-sign-2", r"e^{\mu} \ge 1", ("false", "holds_if")),
    Case("either-sign-3", r"|x| = x", ("false", "holds_if")),
    Case("either-sign-4", r"\sqrt{f(x)^2} = f(x)", ("false", "holds_if")),
    Case("either-sign-5", r"\mathbb{E}_{q(z)}[|z|] = |\mathbb{E}_{q(z)}[z]|", ("false", "holds_if")),
    Case("either-sign-6", r"(x+y)^2 \ge x^2+y^2", ("false", "holds_if")),
    Case("either-sign-7", r"\mathrm{Cov}_{q(z)}[z,z^2] \ge 0", ("false", "holds_if")),
    Case("small-models-1", r"I(x;z) \le \log 3", ("false", "unreadable", "no_claim")),
    Case("small-models-2", r"H[p(x)] \le \log 2 + 1", ("false", "unreadable", "no_claim")),
    Case("small-models-3", r"\sum_x p(x)^2 \ge \frac13", ("false", "unreadable", "no_claim")),
    Case("small-models-4", r"\mathrm{Var}_{q(z)}[f(z)] \le 100", ("false", "unreadable", "no_claim")),
    Case("strict-1", r"\mathrm{KL}(q(z)\Vert p(z)) > 0", ("holds_if",)),
    Case("strict-2", r"I(x;z) > 0", ("holds_if",)),
    Case("part-of-the-condition-1", r"p(a,b,c) = p(a)\,p(b|a)\,p(c)", ("holds_if",)),
    Case("part-of-the-condition-2", r"\log p(x,y,z) = \log p(x)+\log p(y)+\log p(z|y)", ("holds_if",)),
    Case("range-in-the-display-1", r"\int p(x)^\alpha q(x)^{1-\alpha}dx \ge 1, \quad \alpha\in(0,1)", ("false",)),
    Case(
        "noise-of-a-part-1",
        r"\mathbb{E}_{q(z_1)}[\log p(x,z)] = \mathbb{E}_{q(z)}[\log p(x,z)]",
        ("false", "unreadable", "no_claim"),
    ),
    Case(
        "without-arguments-1",
        r"\nabla_\theta \mathbb{E}_{p_\theta}[f(x)] = \mathbb{E}_{p_\theta}[f(x) \nabla_\theta \log p_\theta]",
        ("holds",),
    ),
    Case(
        "without-arguments-2",
        r"\nabla_\theta \int f(x) p_\theta(x) dx = \int f(x) \nabla_\theta p_\theta\, dx",
        ("holds",),
    ),
    Case("without-arguments-3", r"KL(q_\phi\|p_\theta) = \int q_\phi \log\frac{q_\phi}{p_\theta} dz", ("holds",)),
    Case("places-1", r"\arg\max_\theta \log p_\theta(x) \ge \arg\max_\theta \log p_\theta(y)", ("unreadable",)),
    Case("capital-sum-1", r"\Sigma_{x \in X} p(x) = 1", ("holds",)),
    Case("capital-sum-2", r"p(x_0) = \int p(x_0,\ldots,x_T)\,dx_1 \ldots dx_T", ("holds",)),
    Case("bare-and-with-parameter", r"\mathrm{KL}(p(x) \Vert p_\theta(x)) = 0", ("holds_if", "false")),
    Case(
        "bare-and-with-parameter-score", r"\mathbb{E}_{p(x)}[\nabla_\theta \log p_\theta(x)] = 0", ("holds_if", "false")
    ),
    Case(
        "dimension-left-out",
        r"\mathrm{KL}(\mathcal{N}(\mu,\sigma^2 I) \Vert \mathcal{N}(0,I)) = \frac12(\|\mu\|^2 + \sigma^2 - 1 - \log\sigma^2)",
        ("holds_if", "false"),
    ),
    Case(
        "dimension-left-out-mean",
        r"\mathrm{KL}(\mathcal{N}(\mu,\sigma^2 I) \Vert \mathcal{N}(m,s^2 I)) = \frac{1}{2s^2}\|\mu-m\|^2 + \frac{\sigma^2}{2s^2} - \frac12 + \log\frac{s}{\sigma}",
        ("holds_if", "false"),
    ),
    Case("dimension-written", r"H[\mathcal{N}(\mu,\sigma^2 I)] = \frac d2 \log(2\pi e\sigma^2)", ("holds",)),
    Case(
        "any-dimension",
        r"\mathrm{KL}(\mathcal{N}(a,\sigma^2 I) \Vert \mathcal{N}(b,\sigma^2 I)) = \frac{1}{2\sigma^2}\|a-b\|^2",
        ("holds",),
    ),
    Case("short-sums", r"\prod_{i=1}^n i = n(n-1)", ("false", "unreadable")),
    Case("short-sums-bound", r"\frac1K \sum_{k=1}^K k \le 2", ("false", "unreadable")),
    Case("long-sums", r"\sum_{k=1}^K k = \frac{K(K+1)}{2}", ("holds",)),
    Case("small-numbers", r"2^K \le 3K", ("false", "unreadable")),
    Case("outside-its-range", r"\mathrm{Bern}(x|\mu) = 1 - \mathrm{Bern}(x|1-\mu)", ("false", "unreadable")),
    Case("index-moved", r"\frac{d}{dt}\log p_t(x) = p_t(x) \frac{d}{dt} p_t(x)", ("false", "unreadable")),
    Case("value-bayes", r"p(z=1|x) = \frac{p(x|z=1)p(z=1)}{p(x)}", ("holds",)),
    Case("value-bayes-two", r"p(z=1|x) = \frac{p(x|z=1)p(z=1)}{p(x|z=1)p(z=1) + p(x|z=0)p(z=0)}", ("holds_if",)),
    Case("value-complement", r"p(z=1|x) = 1 - p(z=0|x)", ("holds_if",)),
    Case("value-total", r"p(x) = p(x|z=0)p(z=0) + p(x|z=1)p(z=1)", ("holds_if",)),
    Case("value-total-crossed", r"p(x) = p(x|z=0)p(z=1) + p(x|z=1)p(z=0)", ("false",)),
    Case("value-total-unweighed", r"p(x) = p(x|z=0) + p(x|z=1)", ("false",)),
    Case("value-total-of-three", r"p(x) = p(x,z=1) + p(x,z=2) + p(x,z=3)", ("holds_if",)),
    Case(
        "value-odds",
        r"\log\frac{p(y=1|x)}{p(y=0|x)} = \log\frac{p(x|y=1)}{p(x|y=0)} + \log\frac{p(y=1)}{p(y=0)}",
        ("holds",),
    ),
    Case(
        "value-odds-turned",
        r"\log\frac{p(y=1|x)}{p(y=0|x)} = \log\frac{p(x|y=0)}{p(x|y=1)} + \log\frac{p(y=1)}{p(y=0)}",
        ("false",),
    ),
    Case("value-odds-equal-classes", r"\frac{p(y=1|x)}{p(y=0|x)} = \frac{p(x|y=1)}{p(x|y=0)}", ("holds_if",)),
    Case(
        "value-ratio-signs",
        r"\frac{p(x|y=1)}{p(x|y=-1)} = \frac{p(y=1|x)}{1-p(y=1|x)}\frac{p(y=-1)}{p(y=1)}",
        ("holds_if",),
    ),
    Case("value-proportional", r"p(z=1|x) \propto p(x|z=1)p(z=1)", ("holds",)),
    Case(
        "value-proportional-slip",
        r"p(z=1|x) \propto p(x|z=1)",
        (
            "false",
            "holds_if",
        ),
    ),
    Case("value-mean", r"\mathbb{E}_{p(y)}[y] = p(y=1)", ("holds_if",)),
    Case("value-mean-of-signs", r"\mathbb{E}_{p(y)}[y] = p(y=1) - p(y=-1)", ("holds_if",)),
    Case("value-variance", r"\mathrm{Var}_{p(y)}[y] = p(y=1)(1-p(y=1))", ("holds_if",)),
    Case("value-variance-slip", r"\mathrm{Var}_{p(y)}[y] = p(y=1)", ("false",)),
    Case("value-function", r"\mathbb{E}_{p(y)}[f(y)] = p(y=1) f(1) + p(y=0) f(0)", ("holds_if",)),
    Case("value-function-crossed", r"\mathbb{E}_{p(y)}[f(y)] = p(y=1) f(0) + p(y=0) f(1)", ("false",)),
    Case("value-exponents", r"\log p(x, z) = z \log p(x, z=1) + (1-z) \log p(x,z=0)", ("holds_if",)),
    Case("value-exponents-crossed", r"\log p(x, z) = z \log p(x, z=0) + (1-z) \log p(x,z=1)", ("false",)),
    Case("value-indicator", r"\mathbb{E}_{p(z)}[\mathbb{1}[z=1]] = p(z=1)", ("holds",)),
    Case("value-indicator-slip", r"\mathbb{E}_{p(z)}[\mathbb{1}[z=1]] = p(z=0)", ("false",)),
    Case(
        "value-divergence", r"\mathrm{KL}(p(x|y=1) \Vert p(x)) = \sum_x p(x|y=1) \log \frac{p(x|y=1)}{p(x)}", ("holds",)
    ),
    Case("value-discriminator", r"\frac{p(x|y=1)}{p(x|y=1)+p(x|y=0)} = p(y=1|x)", ("holds_if",)),
    Case("entropy-at-a-value", r"H(X|Y=y) = -\sum_x p(x|y) \log p(x|y)", ("holds",)),
    Case("entropy-at-a-letter", r"H(X|y=b) = -\sum_x p(x|y=b) \log p(x|y=b)", ("holds",)),
    Case("entropy-at-a-letter-joint", r"H(X|y=b) = -\sum_x p(x,y=b) \log p(x|y=b)", ("false",)),
    Case("entropy-at-a-number", r"H(X|Y=1) = -\sum_x p(x|y=1) \log p(x|y=1)", ("holds",)),
    Case("entropy-averaged", r"H(X|Y) = \sum_y p(y) H(X|Y=y)", ("holds",)),
    Case("entropy-averaged-over-two", r"H(X|Y) = p(Y=0) H(X|Y=0) + p(Y=1) H(X|Y=1)", ("holds_if",)),
    Case("entropy-not-averaged", r"H(X|Y) = H(X|Y=0) + H(X|Y=1)", ("false",)),
    Case("entropy-in-bits-at-a-value", r"H(X|Y=y) = -\sum_x p(x|y) \log_2 p(x|y)", ("holds_if",)),
    Case(
        "entropy-small-letter",
        r"H(x|y) = -\sum_x p(x|y) \log p(x|y)",
        (
            "holds_if",
            "false",
        ),
    ),
    Case("information-at-a-value", r"I(X;Y|Z=z) = H(X|Z=z) - H(X|Y,Z=z)", ("holds",)),
    Case("information-averaged", r"I(X;Y|Z) = \sum_z p(z) I(X;Y|Z=z)", ("holds",)),
    Case(
        "information-not-averaged",
        r"I(X;Y|Z) = I(X;Y|Z=z)",
        (
            "false",
            "holds_if",
        ),
    ),
    Case("pi-as-probability", r"\mathrm{Bern}(z; \pi) = \pi^z (1-\pi)^{1-z}", ("holds",)),
    Case("pi-as-probability-slip", r"\mathrm{Bern}(z; \pi) = \pi^z (1-\pi)^z", ("false",)),
    Case("pi-of-the-circle", r"H[\mathcal{N}(\mu,\sigma^2)] = \frac12 \log(2\pi e\sigma^2)", ("holds",)),
    Case("lines-of-the-source", "I(X;Y) = I(Y;X)\nI(X;Y) \\geq 0", ("holds",)),
    Case("lines-of-the-source-slip", "I(X;Y) = I(Y;X)\nI(X;Y) \\leq 0", ("false",)),
    Case(
        "title-with-symbols",
        r"\begin{aligned} \text{Jensen for } \ln \text{:} & \quad \mathbb{E}_{q(z)}\left[\ln\frac{p(z)}{q(z)}\right] \le \ln \mathbb{E}_{q(z)}\left[\frac{p(z)}{q(z)}\right] \end{aligned}",
        ("holds",),
    ),
    Case(
        "title-with-symbols-slip",
        r"\begin{aligned} \text{Jensen for } \ln \text{:} & \quad \mathbb{E}_{q(z)}\left[\ln\frac{p(z)}{q(z)}\right] \ge \ln \mathbb{E}_{q(z)}\left[\frac{p(z)}{q(z)}\right] \end{aligned}",
        ("false",),
    ),
    Case(
        "at-a-number-1",
        r"f(x) := x^2, \quad f(1) = f(2)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-2",
        r"f(x) := x^2, \quad f(2) = 4",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case(
        "at-a-number-3",
        r"f(x) := x^2, \quad f(x+1) = f(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("at-a-number-4", r"f(x) := x^2, \quad f(x+1) = x^2 + 2x + 1", ("holds",)),
    Case("at-a-number-5", r"f(x) := x^2, \quad f(3x) = 9 f(x)", ("holds",)),
    Case(
        "at-a-number-6",
        r"f(x) := x^2, \quad f(3x) = f(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-7",
        r"\sigma(a) := \frac{1}{1+e^{-a}}, \quad \sigma(0) = \sigma(1)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("at-a-number-8", r"\sigma(a) := \frac{1}{1+e^{-a}}, \quad \sigma(-a) = 1 - \sigma(a)", ("holds",)),
    Case("at-a-number-9", r"\sigma(a) := \frac{1}{1+e^{-a}}, \quad \sigma(0) = \frac12", ("holds",)),
    Case(
        "at-a-number-10",
        r"M(t) := \mathbb{E}_{p(x)}[e^{tx}], \quad M(4) = 2M(2)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("at-a-number-11", r"M(t) := \mathbb{E}_{p(x)}[e^{tx}], \quad M(0) = 1", ("holds",)),
    Case(
        "at-a-number-12",
        r"Z(\beta) := \sum_x e^{-\beta E(x)}, \quad Z(0) = 0",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-13",
        r"L(K) := \mathbb{E}_{z_{1:K}\sim q}[\log\frac1K\sum_{k=1}^K\frac{p(x,z_k)}{q(z_k)}], \quad L(1) \ge L(K)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-14",
        r"L(K) := \mathbb{E}_{z_{1:K}\sim q}[\log\frac1K\sum_{k=1}^K\frac{p(x,z_k)}{q(z_k)}], \quad L(1) \le L(K)",
        (
            "holds",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-15",
        r"\mathcal{L}(K) := \mathbb{E}_{z_{1:K}\sim q}[\log\frac1K\sum_{k=1}^K\frac{p(x,z_k)}{q(z_k)}], \quad \mathcal{L}(K) = \mathcal{L}(K+1)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-16",
        r"\mathcal{L}(\beta) := \mathbb{E}_{q(z)}[\log p(x|z)] - \beta\,\mathrm{KL}(q(z)\Vert p(z)), \quad \mathcal{L}(0) \le \log p(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-17",
        r"\mathcal{L}(\beta) := \mathbb{E}_{q(z)}[\log p(x|z)] - \beta\,\mathrm{KL}(q(z)\Vert p(z)), \quad \mathcal{L}(1) \le \log p(x)",
        ("holds",),
    ),
    Case(
        "at-a-number-18",
        r"\mathcal{L}(\beta) := \mathbb{E}_{q(z)}[\log p(x|z)] - \beta\,\mathrm{KL}(q(z)\Vert p(z)), \quad \mathcal{L}(0) = \mathcal{L}(1)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-19",
        r"h(\alpha) := \mathbb{E}_{q(z)}[f(z)^\alpha]^{1/\alpha}, \quad h(2) \le h(1)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-20",
        r"M(t) := \mathbb{E}_{p(x)}[e^{tx}], \quad M(s+t) = M(t)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-21",
        r"Z(\beta) := \sum_x e^{-\beta E(x)}, \quad Z(1)\,Z(3) \ge Z(2)^2",
        (
            "holds",
            "holds_if",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-22",
        r"\mathcal{L}_\beta := \mathbb{E}_{q(z)}[\log p(x|z)] - \beta\,\mathrm{KL}(q(z)\Vert p(z)), \quad \mathcal{L}_0 \le \log p(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-23",
        r"\mathcal{L}_\beta := \mathbb{E}_{q(z)}[\log p(x|z)] - \beta\,\mathrm{KL}(q(z)\Vert p(z)), \quad \mathcal{L}_1 \le \log p(x)",
        ("holds",),
    ),
    Case(
        "at-a-number-24",
        r"\mathcal{L}_\beta := \mathbb{E}_{q(z)}[\log p(x|z)] - \beta\,\mathrm{KL}(q(z)\Vert p(z)), \quad \mathcal{L}_{1/2} \le \log p(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-25",
        r"\mathcal{L}_{\text{EUBO}} \le \log p(x)",
        (
            "unreadable",
            "false",
        ),
    ),
    Case(
        "at-a-number-26",
        r"\mathrm{ELBO}(x) = \mathrm{ELBO}(y)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-27",
        r"\mathrm{ELBO}(D) = \mathrm{ELBO}(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-28",
        r"\log p(x_1) \ge \mathrm{ELBO}(x_2)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-29",
        r"\log p(x) \ge \mathrm{ELBO}(y)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-30",
        r"\log p_\theta(x) \ge \mathrm{ELBO}(\theta',\phi)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-31",
        r"\log p_\theta(x) \ge \mathrm{ELBO}(\theta,\phi)",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case(
        "at-a-number-32",
        r"\log p_\theta(x) \ge \mathcal{L}(\theta',\phi)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-33",
        r"\log p(x_i) \ge \mathcal{L}(x_j)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-34",
        r"\mathrm{ELBO}(D) = \frac1N\sum_{n=1}^N\mathrm{ELBO}(x_n)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-35",
        r"\mathrm{ELBO}(D) = \sum_{n=1}^N\mathrm{ELBO}(x_n)",
        (
            "holds",
            "holds_if",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-36",
        r"\log p(D) \ge \frac1N\sum_{n=1}^N\mathrm{ELBO}(x_n)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "at-a-number-37",
        r"\mathcal{L}(D) := \sum_{n=1}^N\mathcal{L}(x_n), \quad \mathcal{L}(D) = \frac{1}{N}\sum_{n=1}^N\mathcal{L}(x_n)",
        (
            "false",
            "unreadable",
            "no_claim",
        ),
    ),
    Case(
        "declared-1",
        r"z \sim q(z), \quad \mathbb{E}[f(z)] = \mathbb{E}_{p(z)}[f(z)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("declared-2", r"z \sim q(z), \quad \mathbb{E}[f(z)] = \mathbb{E}_{q(z)}[f(z)]", ("holds",)),
    Case("declared-3", r"z \sim q(z|x), \quad \mathbb{E}[f(z)] = \mathbb{E}_{q(z|x)}[f(z)]", ("holds",)),
    Case(
        "declared-4",
        r"z \sim q(z), \quad \mathrm{Var}[f(z)] = \mathrm{Var}_{p(z)}[f(z)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-5",
        r"\begin{align} z &\sim q(z) \\ \log p(x) &\ge \mathbb{E}[\log p(x|z)] \end{align}",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-6",
        r"\begin{align} z &\sim q(z) \\ \log p(x) &\ge \mathbb{E}[\log p(x,z) - \log q(z)] \end{align}",
        ("holds",),
    ),
    Case(
        "declared-7",
        r"z_k \sim q(z), \quad \mathbb{E}[\frac1K\sum_{k=1}^K f(z_k)] = \mathbb{E}_{p(z)}[f(z)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-8",
        r"z_k \sim q(z), \quad \mathbb{E}[\frac1K\sum_{k=1}^K f(z_k)] = \mathbb{E}_{q(z)}[f(z)]",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case("declared-9", r"z \sim \mathcal{N}(0,1), \quad \mathbb{E}[z^2] = 1", ("holds",)),
    Case(
        "declared-10",
        r"z \sim \mathcal{N}(0,1), \quad \mathbb{E}[z^2] = 2",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-11",
        r"c := -2, \quad \mathbb{E}_{q(z)}[c\,z^2] \ge c\,\mathbb{E}_{q(z)}[z]^2",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-12",
        r"c := \frac12, \quad \mathbb{E}_{q(z)}[z^c] \ge \mathbb{E}_{q(z)}[z]^c",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-13",
        r"p(x|\theta) := \frac12p(x|\theta_1) + \frac12p(x|\theta_2), \quad p(x|\theta_1) = p(x|\theta)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-14",
        r"p(x|\theta) := \frac1K\sum_{k=1}^K p(x|\theta_k), \quad \log p(x|\theta) = \frac1K\sum_{k=1}^K\log p(x|\theta_k)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-15",
        r"p(x|\theta) := \frac1K\sum_{k=1}^K p(x|\theta_k), \quad \log p(x|\theta) \ge \frac1K\sum_{k=1}^K\log p(x|\theta_k)",
        (
            "holds",
            "holds_if",
            "unreadable",
        ),
    ),
    Case(
        "declared-16",
        r"q(z|\lambda) := \frac1K\sum_k q(z|\lambda_k), \quad H[q(z|\lambda)] = \frac1K\sum_k H[q(z|\lambda_k)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "declared-17",
        r"m := \mathbb{E}_{p(z)}[f(z)], \quad m := \mathbb{E}_{q(z)}[f(z)], \quad m = \mathbb{E}_{p(z)}[f(z)]",
        (
            "unreadable",
            "false",
        ),
    ),
    Case(
        "declared-18",
        r"w := \frac{p(x,z)}{q(z)}, \quad w := \frac{q(z)}{p(x,z)}, \quad \mathbb{E}_{q(z)}[w] = p(x)",
        (
            "unreadable",
            "false",
        ),
    ),
    Case("declared-19", r"w := \frac{p(x,z)}{q(z)}, \quad \mathbb{E}_{q(z)}[w] = p(x)", ("holds",)),
    Case(
        "declared-20",
        r"H(X) > 0",
        (
            "holds_if",
            "no_claim",
        ),
    ),
    Case("declared-21", r"I(X;Y) < H(X)", ("holds_if",)),
    Case(
        "for-every-function-1",
        r"\mathrm{KL}(q(z)\Vert p(z)) \ge \mathbb{E}_{p(z)}[f(z)] - \mathbb{E}_{q(z)}[e^{f(z)-1}]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-2",
        r"\mathrm{KL}(q(z)\Vert p(z)) \ge \mathbb{E}_{q(z)}[f(z)] - \mathbb{E}_{p(z)}[e^{f(z)-1}]",
        ("holds",),
    ),
    Case(
        "for-every-function-3",
        r"\mathrm{KL}(q(z)\Vert p(z)) \ge \mathbb{E}_{q(z)}[f(z)] - \log\mathbb{E}_{p(z)}[e^{f(z)}]",
        ("holds",),
    ),
    Case(
        "for-every-function-5",
        r"I(x;z) \ge \mathbb{E}_{p(x,z)}[f(x,z)] - \log\mathbb{E}_{p(x)p(z)}[e^{f(x,z)}]",
        ("holds",),
    ),
    Case(
        "for-every-function-7",
        r"\mathrm{JS}(q(z)\Vert p(z)) \ge \mathbb{E}_{q(z)}[\log D(z)] + \mathbb{E}_{p(z)}[\log(1-D(z))] + \log 4, \quad D(z) := \frac{1}{1+e^{-f(z)}}",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-8",
        r"2 \mathrm{JS}(q(z)\Vert p(z)) \ge \mathbb{E}_{q(z)}[\log D(z)] + \mathbb{E}_{p(z)}[\log(1-D(z))] + \log 4, \quad D(z) := \frac{1}{1+e^{-f(z)}}",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case(
        "for-every-function-9",
        r"\chi^2(p(z)\Vert q(z)) \ge 2\mathbb{E}_{q(z)}[f(z)] - \mathbb{E}_{p(z)}[f(z)^2] - 1",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-10",
        r"\chi^2(p(z)\Vert q(z)) \ge 2\mathbb{E}_{p(z)}[f(z)] - \mathbb{E}_{q(z)}[f(z)^2] - 1",
        ("holds",),
    ),
    Case(
        "for-every-function-11",
        r"\log(1+x) \ge x - \frac{x^2}{2}",
        (
            "false",
            "unreadable",
            "holds_if",
        ),
    ),
    Case(
        "for-every-function-12",
        r"\log a\,\log b \le \left(\log\frac{a+b}{2}\right)^2",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-13",
        r"\mathrm{KL}(q\Vert p) \le 2\chi^2(q\Vert p) - \mathrm{KL}(p\Vert q)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-14",
        r"\mathrm{KL}(q(z)\Vert p(z)) \le \mathbb{E}_{q(z)}[(\log\frac{q(z)}{p(z)})^2]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-15",
        r"\mathrm{KL}(q(z)\Vert p(z)) \ge \frac14\mathrm{Var}_{q(z)}[\log\frac{q(z)}{p(z)}]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-16",
        r"\log\mathbb{E}_{p(z)}[e^{f(z)}] \le \mathbb{E}_{p(z)}[f(z)] + 2\,\mathrm{Var}_{p(z)}[f(z)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-17",
        r"\log p(x) \le \mathbb{E}_{q(z)}[\log\frac{p(x,z)}{q(z)}] + 10\,\mathrm{KL}(p(z|x)\Vert q(z))",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-18",
        r"I(X;Y) \le \frac{9}{10}H(X)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-19",
        r"H(X|Y) \ge \frac1{10}H(X)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-20",
        r"H(X,Y) \ge H(X)+\frac1{20}H(Y)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("for-every-function-21", r"H(X,Y) \ge H(X)", ("holds_if",)),
    Case(
        "for-every-function-22",
        r"\mathrm{KL}(q(z)\Vert p(z)) \le 10\,\mathrm{TV}(q(z),p(z))",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "for-every-function-23",
        r"\mathrm{KL}(q(z)\Vert p(z)) \le 20\,\mathrm{KL}(p(z)\Vert q(z))",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("for-every-function-24", r"\mathrm{KL}(q(z)\Vert p(z)) \le \log(1+\chi^2(q(z)\Vert p(z)))", ("holds",)),
    Case("for-every-function-25", r"\mathrm{TV}(q(z),p(z))^2 \le \frac12\mathrm{KL}(q(z)\Vert p(z))", ("holds",)),
    Case(
        "for-every-function-26",
        r"\mathrm{TV}(q(z),p(z))^2 \le \frac13\mathrm{KL}(q(z)\Vert p(z))",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("for-every-function-27", r"\log p(x) \ge \mathbb{E}_{q(z)}[\log p(x,z) - \log q(z)]", ("holds",)),
    Case("for-every-function-28", r"\mathbb{E}_{q(z)}[f(z)]^2 \le \mathbb{E}_{q(z)}[f(z)^2]", ("holds",)),
    Case(
        "decorated-bound-1",
        r"\mathcal{L}^{(\beta)} := \mathbb{E}_{q(z)}[\log p(x|z)] - \beta\,\mathrm{KL}(q(z)\Vert p(z)), \quad \mathcal{L}^{(0)} \le \log p(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("decorated-bound-2", r"\mathcal{L}_{\text{rec}} \le \log p(x)", ("unreadable",)),
    Case("decorated-bound-3", r"\mathcal{L}_{\mathrm{KL}} \le \log p(x)", ("unreadable",)),
    Case("decorated-bound-4", r"\mathcal{L}_{\text{GAN}} \le \log p(x)", ("unreadable",)),
    Case("decorated-bound-5", r"\mathcal{L}_{\text{ELBO}} \le \log p(x)", ("holds_if",)),
    Case("decorated-bound-6", r"\mathcal{L}_{\theta,\phi} \le \log p_\theta(x)", ("holds_if",)),
    Case(
        "decorated-bound-7",
        r"\log p(x_i) \ge \mathcal{L}_j",
        (
            "unreadable",
            "false",
        ),
    ),
    Case("decorated-bound-8", r"\log p(x_i) \ge \mathcal{L}_i", ("holds_if",)),
    Case(
        "decorated-bound-9",
        r"z \sim q, \quad \mathbb{E}[f(z)] = \mathbb{E}_{p(z)}[f(z)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "decorated-bound-10",
        r"c = -2, \quad \mathbb{E}_{q(z)}[c\,z^2] \ge c\,\mathbb{E}_{q(z)}[z]^2",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "decorated-bound-11",
        r"\mathrm{KL}(q(z)\Vert p(z)) \le 4\log\max_z\frac{p(z)}{q(z)}",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("decorated-bound-12", r"\mathrm{KL}(q(z)\Vert p(z)) \le \log\max_z\frac{q(z)}{p(z)}", ("holds",)),
    Case("decorated-bound-16", r"\mathbb{E}_{\mathcal{N}(x|\mu,\sigma)}[(x-\mu)^2] = \sigma", ("holds_if",)),
    Case("decorated-bound-17", r"\mathbb{E}_{\mathcal{N}(x|\mu,\sigma^2)}[(x-\mu)^2] = \sigma^2", ("holds",)),
    Case("prose-in-place-of-a-name", "f(x) := 信息量 \\\\ f(x_1 x_2) = f(x_1) + f(x_2)", ("no_claim", "unreadable")),
    Case("definition-in-words", "f(x) = 信息量", ("no_claim",)),
    Case("cross-entropy-below", r"H_{P,Q}(X) = H_P(X) + D_{KL}(P(X) \Vert Q(X))", ("holds",)),
    Case("cross-entropy-below-slip", r"H_{P,Q}(X) = H_P(X)", ("false", "holds_if")),
    Case("order-of-an-entropy", r"H_2(X) = H(X)", ("unreadable",)),
    Case("typed-information", r"MI(X,Y) = H(X) - H(X|Y)", ("holds",)),
    Case("typed-covariance", r"Cov(X,Y) = E[XY] - E[X]E[Y]", ("holds",)),
    Case("typed-sum", r"∑_z p(x,z) = p(x)", ("holds",)),
    Case("typed-integral", r"∫ p(x,z) dz = p(x)", ("holds",)),
    Case(
        "third-look-1",
        r"z \sim q(z), \quad z' \sim p(z'), \quad \mathbb{E}[f(z)] = \mathbb{E}[f(z')]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "third-look-2",
        r"z_1 \sim q(z), \quad z_2 \sim p(z), \quad \mathbb{E}[f(z_1)] = \mathbb{E}[f(z_2)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "third-look-3",
        r"x \sim p, \quad \tilde x \sim q, \quad \mathbb{E}[\log p(\tilde x)] = \mathbb{E}[\log p(x)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "third-look-4",
        r"z \sim q(z), \quad x \sim p(x|z), \quad \mathbb{E}[f(x)] = \mathbb{E}_{p(x|z)}[f(x)]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "third-look-5",
        r"z \sim q(z), \quad x \sim p(x|z), \quad \mathbb{E}[f(x)] = \mathbb{E}_{q(z)}[\mathbb{E}_{p(x|z)}[f(x)]]",
        ("holds",),
    ),
    Case(
        "third-look-6",
        r"z_k \sim q(z), \quad \mathbb{E}[\frac1K\sum_{k=1}^K f(z_k)] = \mathbb{E}_{q(z)}[f(z)]",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case(
        "third-look-7",
        r"\mathrm{ELBO}(q,\beta) \le \log p(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "third-look-8",
        r"\mathrm{ELBO}(q(z),r(z)) \le \log p(x)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "third-look-9",
        r"\mathrm{ELBO}(q(z)) \le \log p(x)",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case("third-look-10", r"I(X;Y=y) = I(X;Y)", ("unreadable",)),
    Case("third-look-11", r"H(X=x) = H(X)", ("unreadable",)),
    Case(
        "third-look-12",
        r"\mathrm{KL}(p(x)\Vert q(x)) \le 0.99\chi^2(p(x)\Vert q(x))",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("third-look-13", r"\mathrm{KL}(p(x)\Vert q(x)) \le \chi^2(p(x)\Vert q(x))", ("holds",)),
    Case("third-look-14", r"\mathrm{KL}(p(x)\Vert\frac12p(x)+\frac12q(x)) \le \log 2", ("holds",)),
    Case("third-look-15", r"\sum_x|p(x)-q(x)| \le 2", ("holds",)),
    Case(
        "third-look-16",
        r"\mathrm{KL}(q(z)\Vert p(z)) \le 3",
        (
            "unreadable",
            "false",
        ),
    ),
    Case(
        "third-look-17",
        r"\mathrm{KL}(q(z)\Vert p(z)) \le 200",
        (
            "unreadable",
            "false",
        ),
    ),
    Case(
        "third-look-18",
        r"\chi^2(q(z)\Vert p(z)) \ge \frac{(\mathbb{E}_{q(z)}[f(z)]-\mathbb{E}_{p(z)}[f(z)])^2}{\mathrm{Var}_{p(z)}[f(z)]}",
        ("holds",),
    ),
    Case(
        "third-look-19",
        r"\frac{1}{\alpha-1}\log\sum_x p(x)^\alpha q(x)^{1-\alpha} \ge \mathrm{KL}(p(x)\Vert q(x)), \quad \alpha>1",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case(
        "third-look-20",
        r"\frac{1}{t}\log\mathbb{E}_{p(x)}[e^{t f(x)}] \ge \mathbb{E}_{p(x)}[f(x)], \quad t>0",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case(
        "third-look-21",
        r"\frac{\mathbb{E}_{p(x)}[e^{tf(x)}]-1}{t} \ge \mathbb{E}_{p(x)}[f(x)], \quad t>0",
        (
            "holds",
            "holds_if",
        ),
    ),
    Case("third-look-22", r"p(z=1) = \frac12", ("no_claim",)),
    Case("third-look-23", r"p(z=1) = p(z=0) = \frac12", ("no_claim",)),
    Case(
        "third-look-24",
        r"p(z=1|x) = \frac12",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("values-of-a-set-1", r"z \in \{-1,1\}, \quad \mathbb{E}_{q(z)}[z^2] = 1", ("holds",)),
    Case("values-of-a-set-2", r"z \in \{-1,1\}, \quad \mathbb{E}_{q(z)}[z] = 2q(z=1)-1", ("holds",)),
    Case("values-of-a-set-3", r"z \in \{-1,1\}, \quad \mathrm{Var}_{q(z)}[z] = 1-\mathbb{E}_{q(z)}[z]^2", ("holds",)),
    Case("values-of-a-set-4", r"z \in \{0,1\}, \quad \mathbb{E}_{q(z)}[z^2] = \mathbb{E}_{q(z)}[z]", ("holds",)),
    Case("values-of-a-set-5", r"z \in \{0,1\}, \quad H(q(z)) \le \log 2", ("holds",)),
    Case(
        "values-of-a-set-6",
        r"z \in \{0,1\}, \quad H(q(z)) \le \log \frac32",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("values-of-a-set-7", r"z \in \{1,2,3\}, \quad H(q(z)) \le \log 3", ("holds",)),
    Case(
        "values-of-a-set-8",
        r"z \in \{1,2,3\}, \quad p(z=1|x)+p(z=2|x) = 1",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "values-of-a-set-9",
        r"z \in \{-1,1\}, \quad \mathbb{E}_{q(z)}[z] = q(z=1)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("values-of-a-set-10", r"z \in \{0,1\}, \quad p(x) = p(x,z=0) + p(x,z=1)", ("holds",)),
    Case(
        "values-of-a-set-11",
        r"z \in \{0,1\}, \quad p(x) = p(x,z=1) + p(x,z=2)",
        (
            "false",
            "unreadable",
        ),
    ),
    Case(
        "values-of-a-set-12",
        r"\mathbb{E}_{q(z)}[z^2] = \mathbb{E}_{q(z)}[z]",
        (
            "false",
            "unreadable",
        ),
    ),
    Case("number-ends-a-line", "\\mathrm{KL}(q(z) \\Vert q(z)) = 0\n\\log p(x) = 0", ("false",)),
    Case(
        "number-ends-a-line-bound",
        "\\mathrm{KL}(q(z) \\Vert p(z)) \\ge 0\n\\log p(x) \\ge \\mathbb{E}_{q(z)}[\\log p(x,z) - \\log q(z)]",
        ("holds",),
    ),
    Case("zero-for-a-term", r"I(X;Y) = H(X) - H(X|Y) = H(X) - 0 = H(X)", ("holds_if",)),
    Case("zero-for-another-term", r"\log p(x) = \mathbb{E}_{q(z)}[\log p(x,z)] - 0", ("false",)),
    Case("capacity", r"C = \max_{p(x)} I(X; Y)", ("no_claim",)),
    Case("capital-macro", r"\log \sum_z p(\X, z) = \log p(\X)", ("holds_if",)),
    Case("capital-macro-slip", r"\log \sum_z p(\X, z) = \log p(z)", ("false",)),
    Case("joint-is-itself", r"p(x, z) = p(x, z)", ("holds",)),
]
