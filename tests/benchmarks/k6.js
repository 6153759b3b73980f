// What k6 sends: one check per iteration, at a constant arrival rate. RATE, SECONDS and VUS come from the environment.
import http from 'k6/http';

export const options = {
  scenarios: {
    open: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE),
      timeUnit: '1s',
      duration: `${__ENV.SECONDS}s`,
      preAllocatedVUs: Number(__ENV.VUS),
      maxVUs: Number(__ENV.VUS),
      gracefulStop: '3s',
    },
  },
  summaryTrendStats: ['p(50)', 'p(90)', 'p(95)', 'p(99)', 'p(99.9)'],
};

const url = `${__ENV.HOST}/v1/check`;
const sent = { headers: { 'Content-Type': 'application/json' } };

export default function () {
  http.post(url, JSON.stringify({ key: `load-${__ITER % 1000}`, cost: 1 }), sent);
}
